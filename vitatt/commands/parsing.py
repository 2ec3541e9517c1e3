"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.data.datamodule import LesionDataModule

_OTHER_SECTIONS = (
    "seed_everything",
    "trainer",
    "model",
    "explanations",
    "explanation_tests",
    "token_cache",
    "checkpoint",
    "early_stopping",
    "ckpt_path",
    "weights_only",
)


def add_data_arguments(parser: ArgumentParser) -> None:
    """The options of the data module, from the configuration of a training as well."""
    parser.add_argument("--config", action=ActionConfigFile, help="as for `vitatt fit`")
    parser.add_class_arguments(LesionDataModule, "data", skip={"task"})
    parser.add_argument("--data.task", type=dict | None, help=argparse.SUPPRESS)
    known = {action.dest for action in parser._actions}
    for section in _OTHER_SECTIONS:  # so that the configuration of a training can be read
        if section not in known:
            parser.add_argument(f"--{section}", type=_ignored, help=argparse.SUPPRESS)


def _ignored(value: Any) -> None:
    """Whatever it is; `Any` would make the objects that the configuration describes."""


def joined(options: Sequence[str], name: str) -> list[str]:
    """Options with the words after one of them as one word, ``--color=a,b``.

    So ``--color a b`` may be written on the command line, and ``color: a`` in a file, which the
    parser's own option of several words does not take.

    Args:
        options: Of a command.
        name: The option, such as ``--color``.
    """
    result: list[str] = []
    inside = False
    for word in options:
        if inside and not word.startswith("-"):
            result[-1] += f"{'=' if result[-1] == name else ','}{word}"
        else:
            inside = word == name
            result.append(word)
    return result
