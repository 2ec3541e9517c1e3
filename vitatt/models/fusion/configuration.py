"""Registered names of networks in configurations, where jsonargparse expects import paths.

Users write ``fusion: film``, ``class_path: film`` or ``--model.fusion film``. Names become import
paths where the command line or a file is read, and import paths become names where a configuration
is written.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import lightning
import yaml
from jsonargparse import get_loader, set_dumper, set_loader

from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.naming import class_path, name_of
from vitatt.types import UsageError
from vitatt.words import did_you_mean

PARSER_MODE = "vitatt"
"""For `jsonargparse.ArgumentParser(parser_mode=...)`: YAML with registered names of networks."""

_OPTIONS = ("--model.fusion", "--model.fusion.class_path", "--model.fusion.help")


def with_class_paths(words: Sequence[str]) -> list[str]:
    """Options with the import path of the network in place of its registered name.

    Raises:
        UsageError: If a name is not registered.
    """
    result = list(words)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in _OPTIONS:
            continue
        if equals:
            result[place] = f"{option}={_path_of(value)}"
        elif place + 1 < len(words):
            result[place + 1] = _path_of(words[place + 1])
    return result


def with_names(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the registered name of the network in place of its import path."""
    named = copy.deepcopy(config)
    for section in _sections(named):
        fusion = section["fusion"]
        if isinstance(fusion, dict) and isinstance(fusion.get("class_path"), str):
            fusion["class_path"] = name_of(fusion["class_path"])
    return named


def _load(text: str) -> Any:
    """YAML as jsonargparse reads it, registered names of networks as import paths."""
    loaded = get_loader("yaml")(text)
    if not isinstance(loaded, dict):
        return loaded
    for section in _sections(loaded):
        fusion = section["fusion"]
        if isinstance(fusion, str):
            section["fusion"] = {"class_path": _path_of(fusion)}
        elif isinstance(fusion, dict) and isinstance(fusion.get("class_path"), str):
            fusion["class_path"] = _path_of(fusion["class_path"])
    if loaded.get("class_path") in FUSIONS:  # the value of `--model.fusion`
        loaded["class_path"] = class_path(FUSIONS[loaded["class_path"]])
    return loaded


def _dump(config: dict[str, Any]) -> str:
    """YAML with registered names, and the version of Lightning as `LightningCLI` notes it."""
    text = yaml.safe_dump(
        with_names(config), default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return f"# lightning.pytorch=={lightning.__version__}\n{text}"


def _sections(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts that have a key ``fusion``: those of ``model``, also below a command."""
    for part in (config, *config.values()):
        model = part.get("model") if isinstance(part, dict) else None
        if isinstance(model, dict) and "fusion" in model:
            yield model
    if "fusion" in config:  # the file of `--model`
        yield config


def _path_of(name: str) -> str:
    """The import path of a registered name; paths, inline YAML and class names as they are.

    Raises:
        UsageError: If it is none of these.
    """
    if name in FUSIONS:
        return class_path(FUSIONS[name])
    path = name_of(name)
    if path in FUSIONS:  # where its class was in an older version
        return class_path(FUSIONS[path])
    classes = [network.__name__ for network in FUSIONS.values()]
    if not name.isidentifier() or name in classes:
        return name
    raise UsageError(
        f"Expected `model.fusion` to be among {', '.join(FUSIONS)}, or the import path of your own "
        f"network class, but got '{name}'.{did_you_mean(name, list(FUSIONS))}"
    )


set_loader(PARSER_MODE, _load, exceptions=(yaml.YAMLError,))
set_dumper(PARSER_MODE, _dump)
