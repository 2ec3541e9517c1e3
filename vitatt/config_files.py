"""Check configuration files before jsonargparse reads them: its errors do not name the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from vitatt.reading import read_text
from vitatt.types import UsageError
from vitatt.words import option_values


def check_config_files(words: Sequence[str]) -> None:
    """Check every file that is given by ``--config``.

    Args:
        words: Options of a command.

    Raises:
        UsageError: If a file does not exist, is not a YAML mapping in UTF-8, or has a key twice in
            one mapping, of which YAML would silently ignore the first. The message names the file
            and, where there is one, the line.
    """
    for name in option_values(words, "--config"):
        path = Path(name).expanduser()
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise UsageError(f"The configuration file {path} {found}.")
        node = compose(read_text(path), path)
        if not isinstance(node, yaml.MappingNode):
            raise UsageError(
                f"Expected {path} to hold settings by name, such as `data:` and below it `root: "
                f"DIR`, but it {'is empty' if node is None else 'holds something else'}."
            )


def compose(text: str, path: Path | str) -> yaml.Node | None:
    """Return the nodes of a YAML document.

    Args:
        text: The document.
        path: Its file, for the message.

    Raises:
        UsageError: If it is no YAML, has a key twice in one mapping, holds itself by an anchor, or
            is nested too deeply. The message names the file and, where there is one, the line.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _require_single_keys(node, path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise UsageError(f"{path}, line {line}: this is no YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    except RecursionError as error:
        raise UsageError(
            f"{path} is nested too deeply, or an anchor (&name) in it holds itself."
        ) from error
    return node


def _require_single_keys(node: yaml.Node | None, path: Path | str) -> None:
    """Check that no mapping of a YAML document has a key twice.

    Args:
        node: The document.
        path: Its file, for the message.

    Raises:
        UsageError: If one has; the message names both lines.
    """
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
