"""Configuration files are looked at before they are read: jsonargparse names no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from vitatt.reading import read_text
from vitatt.types import UsageError


def check_config_files(words: Sequence[str]) -> None:
    """Check every file that is named by ``--config``.

    Args:
        words: Options of a command.

    Raises:
        UsageError: If a file is not there, is no text, is no YAML, or has a key twice in one place:
            the first of two would be dropped without a word. The message names file and line.
    """
    for path in _named(words):
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise UsageError(f"The configuration file {path} {found}.")
        try:
            node = yaml.compose(read_text(path), yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
            raise UsageError(f"{path}, line {line}: this is no YAML: {error.problem}.") from error
        except yaml.YAMLError as error:
            raise UsageError(f"{path} is no YAML: {error}") from error
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(
                f"Expected {path} to hold settings by name, such as `data:` and below it `root: "
                f"DIR`, but it {'is empty' if node is None else 'holds something else'}."
            )
        _require_single_keys(node, path)


def _named(words: Sequence[str]) -> Iterator[Path]:
    for place, word in enumerate(words):
        if word.startswith("--config="):
            yield Path(word.partition("=")[2]).expanduser()
        elif word == "--config" and place + 1 < len(words):
            yield Path(words[place + 1]).expanduser()


def _require_single_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_single_keys(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode):
            if key.value in lines:
                raise UsageError(
                    f"{path}, line {line}: the key '{key.value}' stands in line {lines[key.value]} "
                    "already, and only one of them would count. Put what is below both below one."
                )
            lines[key.value] = line
        _require_single_keys(value, path)
