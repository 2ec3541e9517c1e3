"""Words of a command line: lists, values of an option, suggestions for misspelt words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from vitatt.types import UsageError


def as_words(value: Sequence[Any] | str) -> list[str]:
    """Return the words of an option, each once: from a list, ``a``, ``a,b`` or ``[a, b]``."""
    parts = [value] if isinstance(value, str) else [str(word) for word in value]
    words = [
        word.strip()
        for part in parts
        for word in part.strip().removeprefix("[").removesuffix("]").split(",")
    ]
    return list(dict.fromkeys(word for word in words if word))


def as_list(value: Sequence[str] | str) -> list[str]:
    """Entries of a list option that may hold commas, such as paths: a list, or one entry."""
    return [value] if isinstance(value, str) else list(value)


def whole_numbers(value: Sequence[Any] | int | str, setting: str) -> tuple[int, ...]:
    """Whole numbers of a list option: a list, one number, or ``0,1,2``.

    Args:
        value: As given.
        setting: Its name, for the message.

    Raises:
        UsageError: If one is no whole number.
    """
    numbers = [value] if isinstance(value, int) else value
    words = as_words(numbers) if isinstance(numbers, str) else [str(one) for one in numbers]
    if not all(re.fullmatch(r"[+-]?\d+", word) for word in words):
        raise UsageError(f"Expected `{setting}` to be whole numbers, but got {value}.")
    return tuple(int(word) for word in words)


def known_words(value: Sequence[Any] | str, known: Sequence[str], setting: str) -> list[str]:
    """Return the words of a list option that accepts certain words only.

    Args:
        value: The value of the option.
        known: The words that it accepts.
        setting: The name of the option, for the message.

    Raises:
        UsageError: If the option is empty, or holds a word that it does not accept.
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


def require_known(argument: str, given: object, known: Sequence[str]) -> None:
    """Check that an argument of a function is one of the known words.

    Raises:
        UsageError: If it is not; the message suggests a similar one.
    """
    if given not in known:
        raise UsageError(
            f"Expected argument `{argument}` to be among {', '.join(known)}, but got {given!r}."
            f"{did_you_mean(str(given), known)}"
        )


def did_you_mean(word: str, known: Sequence[str], prefix: str = "") -> str:
    """A sentence that names the known words next to a wrong one, or nothing.

    Args:
        word: The wrong word.
        known: The known words.
        prefix: Put before each of them.
    """
    close = difflib.get_close_matches(word, known, n=3)
    return f" Did you mean {' or '.join(prefix + one for one in close)}?" if close else ""


def option_values(words: Sequence[str], option: str) -> Iterator[str]:
    """Yield the values of an option, given as ``--option value`` or ``--option=value``.

    Args:
        words: The words of a command line.
        option: The name of the option with its dashes.
    """
    for place, word in enumerate(words):
        if word.startswith(f"{option}="):
            yield word.partition("=")[2]
        elif word == option and place + 1 < len(words):
            yield words[place + 1]
