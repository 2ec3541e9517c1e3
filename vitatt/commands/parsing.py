"""Options that several commands share, and how lists of words are taken."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.data.datamodule import LesionDataModule
from vitatt.ranges import Range
from vitatt.types import UsageError

SEED = Range(least=0, most=2**32 - 1)
"""What every generator of random numbers takes."""

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


def as_words(value: Sequence[Any] | str) -> list[str]:
    """Words of a list option, each once: a list, one word, or ``a,b`` and ``[a, b]``."""
    parts = [value] if isinstance(value, str) else [str(word) for word in value]
    words = [
        word.strip()
        for part in parts
        for word in part.strip().removeprefix("[").removesuffix("]").split(",")
    ]
    return list(dict.fromkeys(word for word in words if word))


def known_words(value: Sequence[Any] | str, known: Sequence[str], setting: str) -> list[str]:
    """Words of a list option that takes some words only.

    Args:
        value: As given.
        known: What it takes.
        setting: Its name, for the message.

    Raises:
        UsageError: If it is empty, or has another word.
    """
    words = as_words(value)
    if not words:
        raise UsageError(
            f"Expected `{setting}` to name a {setting.split('.')[-1].removesuffix('s')}, but it is "
            f"empty. There are: {', '.join(known)}."
        )
    for word in words:
        if word not in known:
            raise UsageError(
                f"Expected `{setting}` to be among {', '.join(known)}, but got '{word}'."
                f"{did_you_mean(word, known)}"
            )
    return words


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A sentence that names the known words next to a wrong one, or nothing."""
    close = difflib.get_close_matches(word, known, n=3)
    return f" Did you mean {' or '.join(close)}?" if close else ""
