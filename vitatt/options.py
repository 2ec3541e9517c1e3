"""Command lines made from functions: options from parameters, help texts from docstrings.

A command is a function with typed parameters and a Google docstring, such as
`vitatt.commands.associate.associate`, that returns an exit status. `run_command` calls it with the
options of a command line, which jsonargparse makes from the signature: parameters before ``*`` are
positional arguments and those after it are options (``output`` is ``--output``); a parameter
without default is required; a dataclass is a group of options (``--cases.errors``). This module
adds the options of `LesionDataModule`, the configuration of a training (``--config``), lists as
several words, and suggestions for misspelt options.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import dataclasses
import inspect
import itertools
import json
import re
import shlex
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.config_files import check_config_files
from vitatt.types import UsageError
from vitatt.words import did_you_mean, option_values

DataSettings = Annotated[Mapping[str, Any], "arguments of LesionDataModule"]
"""Arguments of `LesionDataModule` by name; on the command line ``--data.root`` and so on.

The parameter must be named ``data``. Without default, ``--data.dataset`` is required; the default
`NO_DATA_SETTINGS` is for commands that read the dataset from a checkpoint. The mapping holds what
was given and no defaults: hand it to `vitatt.studies.inputs.make_datamodule` or
`datamodule_of_checkpoint`, which refuse unknown keys.
"""

NO_DATA_SETTINGS: Mapping[str, Any] = MappingProxyType({})
"""Default of a parameter of type `DataSettings`."""

_CHECKPOINTS = {"ckpt_path", "ckpt_paths"}
"""Parameters that name checkpoints, which may be in W&B."""

_TRAINER_KEYS = ("seed_everything", "trainer", "ckpt_path", "weights_only")
"""What the configuration of a training holds beside its sections."""


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The command line of a call from a shell, for a function that records it or passes parts on.

    `run_command` fills in a parameter of this type, whose default is `CALLED_FROM_PYTHON`.

    Attributes:
        text: The whole command, quoted for a shell; empty for a call from Python.
        config_files: Files given by ``--config``.
        training_options: Options of trainings, such as ``--model.learning_rate=0.1``, unparsed;
            without ``--data``, if the function has a parameter of type `DataSettings`.
    """

    text: str = ""
    config_files: tuple[Path, ...] = ()
    training_options: tuple[str, ...] = ()


CALLED_FROM_PYTHON = CommandLine()
"""Default of a parameter of type `CommandLine`."""


def run_command(function: Callable[..., int], words: Sequence[str], name: str | None = None) -> int:
    """Call a command with the options of a command line.

    Args:
        function: The command. Its docstring, up to and including ``Args``, holds the help
            texts. A list, typed ``Sequence[str] | str``, may be several words (``--kinds a b``) or
            one (``--kinds a,b``), which the function separates by `vitatt.words.as_words`; a
            ``bool`` needs no value (``--evaluate``).
        words: The command line without ``vitatt`` and the name of the command.
        name: Name of the command; by default that of the function.

    Returns:
        The exit status that the function returns.

    Raises:
        UsageError: As `arguments_of`, or if the function refuses a value.
        SystemExit: As `arguments_of`.
    """
    arguments = arguments_of(function, words, name)
    for option in _CHECKPOINTS & arguments.keys():
        arguments[option] = _local(arguments[option])
    return function(**arguments)


def _local(given: Any) -> Any:
    """Names of checkpoints, those of W&B as files; each may have a name of the model before it."""
    if isinstance(given, (list, tuple)):
        return [_local(one) for one in given]
    before, prefix, name = str(given).partition("wandb:")
    if not prefix or not (before == "" or before.endswith("=")):
        return given
    from vitatt.callbacks.wandb_checkpoint import local_checkpoint  # imports W&B, which takes long

    return before + local_checkpoint(prefix + name)


def arguments_of(
    function: Callable[..., int], words: Sequence[str], name: str | None = None
) -> dict[str, Any]:
    """Arguments of a command from its command line and the configuration files that it names.

    Only what they hold is returned, so that the function's own defaults apply to the rest.
    ``--config FILE`` is accepted if the function has a parameter of type `DataSettings` or
    `CommandLine`; sections of a training's configuration that it does not use are ignored.

    Args:
        function: As of `run_command`.
        words: As of `run_command`.
        name: As of `run_command`.

    Raises:
        UsageError: If a configuration file cannot be read.
        SystemExit: With status 2 if an option is unknown, missing or of the wrong type; with 0 for
            ``--help``.
    """
    check_config_files(words)
    hints = typing.get_type_hints(function, include_extras=True)
    name = f"vitatt {name or function.__name__.replace('_', '-')}"
    line = next((key for key, hint in hints.items() if hint is CommandLine), None)
    if line is None:
        return _parse(function, hints, name, words)
    own, passed = _split(words, hints)
    files = tuple(Path(file) for file in option_values(own, "--config"))
    text = shlex.join([*name.split(), *words])
    return _parse(function, hints, name, own) | {line: CommandLine(text, files, tuple(passed))}


def _split(words: Sequence[str], hints: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The command's own words, and the options of trainings as ``--key=value``.

    Args:
        words: The command line.
        hints: Parameters of the command; a section of their name is its own.

    Raises:
        UsageError: If an option of trainings has no value.
    """
    from vitatt.training import SECTIONS

    others = [section for section in ("trainer", *SECTIONS) if section not in hints]
    sections = tuple(f"--{section}." for section in others)
    own: list[str] = []
    passed: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if not word.startswith(sections):
            own.append(word)
            continue
        if "=" not in word:
            if (value := next(waiting, None)) is None:
                raise UsageError(f"Expected a value after {word}.")
            word = f"{word}={value}"
        passed.append(word)
    return own, passed


def _parse(
    function: Callable[..., int], hints: Mapping[str, Any], name: str, words: Sequence[str]
) -> dict[str, Any]:
    """Arguments of a function, as far as the command line and its files hold them."""
    parameters = inspect.signature(function).parameters
    special = {key for key, hint in hints.items() if hint in (DataSettings, CommandLine)}
    text = (inspect.getdoc(function) or "").split("\n\nArgs:\n")[0]
    parser = _Parser(prog=name, description=text)
    if special:
        of = "a training, as for `vitatt fit`" if "data" in special else "these options"
        parser.add_argument("--config", action=ActionConfigFile, help=f"Configuration of {of}.")
    parser.add_function_arguments(function, skip=special, as_group=False, as_positional=True)
    kinds = _kinds({key: hint for key, hint in hints.items() if key not in special})
    if "data" in special:
        required = parameters["data"].default is inspect.Parameter.empty
        kinds |= _add_data_options(parser, required=required)
    positional = any(
        _is_list(hints[key])
        for key, one in parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD
    )
    options = _one_value_each(words, kinds, positional_list=positional)
    if "ckpt_path" in hints:
        # Once more: the configuration of a training names the one that it went on from, or none.
        options += [f"--ckpt_path={path}" for path in option_values(options, "--ckpt_path")]
    found = parser.parse_args(options, defaults=False)
    made = parser.instantiate_classes(found)
    settings = {
        key: _merged(parameters[key].default, found[key], made[key])
        for key in parameters
        if key in found and key not in special
    }
    if "data" in special:
        settings["data"] = found.data.as_dict() if "data" in found else {}
    return settings


def _merged(default: Any, found: Any, made: Any) -> Any:
    """The value of an option; of a group, the default with the fields that were given."""
    if not dataclasses.is_dataclass(default) or isinstance(default, type):
        return made
    return dataclasses.replace(default, **{field: getattr(made, field) for field in vars(found)})


class _Parser(ArgumentParser):
    """A parser that suggests the option that was meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print usage, message and suggestion, and exit with status 2."""
        wrong = re.search(r"^Unrecognized arguments: .*?--([\w.]+)", message)
        wrong = wrong or re.search(r"does not accept (?:option|key) '([\w.]+)'", message)
        if wrong is not None:
            inside = re.search(r"^Group '([\w.]+)'", message)
            hint = self._hint(f"{inside[1]}.{wrong[1]}" if inside else wrong[1])
            message = f"{message}.{hint}" if hint else message
        super().error(message, ex)
        raise SystemExit(2)  # the call above does not return, which mypy cannot see

    def _hint(self, wrong: str) -> str:
        """A sentence that names the options next to a wrong one, those of its own group first."""
        known = dict.fromkeys(re.findall(r"--([\w.]+)", self.format_usage()))
        group, dot, name = wrong.rpartition(".")
        siblings = [one.removeprefix(group + dot) for one in known if one.startswith(group + dot)]
        return did_you_mean(name, siblings, f"--{group}{dot}") or did_you_mean(
            wrong, list(known), "--"
        )


def _add_data_options(parser: ArgumentParser, *, required: bool) -> dict[str, Any]:
    """Add the options of the data module, and accept the rest of a training's configuration.

    Returns:
        Types of the options by name.
    """
    # They take seconds to import, and commands without data do not need them.
    from vitatt.data.datamodule import LesionDataModule
    from vitatt.training import SECTIONS

    skipped = {"task"} if required else {"task", "dataset"}
    parser.add_class_arguments(LesionDataModule, "data", skip=skipped, instantiate=False)
    parser.add_argument("--data.task", type=dict | None, help=argparse.SUPPRESS)
    if not required:
        help_text = "Registered name of the dataset; by default that of the checkpoint."
        parser.add_argument("--data.dataset", type=str, help=help_text)
    known = {action.dest for action in parser._actions}
    for key in (*_TRAINER_KEYS, *SECTIONS):
        if key not in known:
            parser.add_argument(f"--{key}", type=_ignored, help=argparse.SUPPRESS)
    return _kinds(typing.get_type_hints(LesionDataModule.__init__), "data.")


def _ignored(value: Any) -> None:
    """None, whatever is given: with the type `Any`, class paths would be imported."""


def _kinds(hints: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Types of options by name, those of a dataclass as ``name.field``."""
    kinds: dict[str, Any] = {}
    for key, hint in hints.items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            kinds |= _kinds(typing.get_type_hints(hint), f"{prefix}{key}.")
        else:
            kinds[f"{prefix}{key}"] = hint
    return kinds


def _is_list(hint: Any) -> bool:
    kinds = [typing.get_origin(one) for one in (hint, *typing.get_args(hint))]
    return list in kinds or collections.abc.Sequence in kinds


def _one_value_each(
    words: Sequence[str], kinds: Mapping[str, Any], *, positional_list: bool
) -> list[str]:
    """The words with one value for each option, as the parser takes them.

    Args:
        words: The command line.
        kinds: Types of options by name. Several words after a list become a JSON list, and a
            ``bool`` without value gets ``true``.
        positional_list: Whether the positional argument is a list.
    """
    result: list[str] = []
    positional: list[str] = []
    waiting = collections.deque(words)
    while waiting:
        word = waiting.popleft()
        kind = kinds.get(word.removeprefix("--"))
        if not _is_option(word):
            positional.append(word)
        elif "=" in word or not word.startswith("--"):
            result.append(word)
        elif kind is bool:
            given = bool(waiting) and waiting[0].lower() in ("true", "false")
            result.append(f"{word}={waiting.popleft() if given else 'true'}")
        else:
            most = len(waiting) if _is_list(kind) else 1
            values = list(itertools.takewhile(lambda one: not _is_option(one), waiting))[:most]
            for _ in values:
                waiting.popleft()
            value = json.dumps(values) if len(values) > 1 else "".join(values)
            result.append(f"{word}={value}" if values else word)
    return [*result, *([json.dumps(positional)] if positional_list and positional else positional)]


def _is_option(word: str) -> bool:
    return re.match(r"-[^\d.]", word) is not None
