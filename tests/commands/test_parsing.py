"""Lists of words, as they may be given."""

from __future__ import annotations

import pytest

from vitatt.commands.parsing import joined
from vitatt.types import UsageError
from vitatt.words import as_words, known_words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        (["a", "b,c", "a"], ["a", "b", "c"]),
        ("", []),
        ("[]", []),
        ([], []),
        ([1, 2], ["1", "2"]),
    ],
)
def test_as_words(value, words) -> None:
    assert as_words(value) == words


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--x", "a", "b", "--y", "c"], ["--x=a,b", "--y", "c"]),
        (["--x", "a"], ["--x=a"]),
        (["--x"], ["--x"]),
        (["--x=a", "--y", "c", "d"], ["--x=a", "--y", "c", "d"]),
        (["--x", "--y", "c"], ["--x", "--y", "c"]),
    ],
)
def test_joined(options, expected) -> None:
    assert joined(options, "--x") == expected


def test_known_words() -> None:
    assert known_words("b,a", ("a", "b"), "x") == ["b", "a"]
    with pytest.raises(UsageError, match=r"`x.methods` to name a method, but it is empty"):
        known_words([], ("a", "b"), "x.methods")
    with pytest.raises(UsageError, match=r"among blue, red, but got 'bleu'\. Did you mean blue"):
        known_words("bleu", ("blue", "red"), "x")
