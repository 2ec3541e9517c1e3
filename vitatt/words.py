"""Options that are lists of words, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from vitatt.types import UsageError


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
