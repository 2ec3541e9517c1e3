"""Values of a file as arguments: of the annotated types, and nothing that could name code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest

from vitatt.models.plain_values import as_type, read_arguments
from vitatt.types import UsageError


@dataclasses.dataclass(frozen=True)
class Part:
    """A dataclass among the types."""

    name: str
    sizes: tuple[int, ...]


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (True, bool, True),
        ("a", str, "a"),
        (None, int | None, None),
        (3, float | int, 3),
        (False, bool | int, False),
        ("a", Literal["a", "b"], "a"),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ((1, 2), list[float], [1.0, 2.0]),
        (["a"], Sequence[str] | None, ["a"]),
        ({"a": [1]}, Mapping[str, list[int]], {"a": [1]}),
        (Part("a", (1,)), Part, Part("a", (1,))),
    ],
)
def test_values_of_a_type(value: Any, hint: Any, expected: Any) -> None:
    found = as_type(value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (1.0, int),
        ("1", int),
        (1, str),
        (0, bool),
        (None, int),
        ("c", Literal["a", "b"]),
        (1, Literal[True]),
        ("ab", list[str]),
        ([1, 2, 3], tuple[int, int]),
        ([1, "a"], list[int]),
        ({"a": "b"}, dict[str, int]),
        ({"class_path": "os.system"}, str),
        (Part("a", "b"), Part),  # type: ignore[arg-type]
        (Part({}, (1,)), Part),  # type: ignore[arg-type]
        ({"name": "a", "sizes": [1]}, Part),
        ("a", int | None),
    ],
)
def test_values_of_another_type(value: Any, hint: Any) -> None:
    with pytest.raises(ValueError, match="is expected"):
        as_type(value, hint)


def function(
    first: Any,
    depth: int,
    rate: float = 0.5,
    sizes: tuple[int, ...] = (),
    activation: str | Callable[..., Any] = "gelu",
    free: Any = "free",
    unknown: Elsewhere = "free",  # type: ignore[name-defined]  # noqa: F821
    untyped=None,  # type: ignore[no-untyped-def]
) -> None:
    """A function as a user may write it."""


def read(**values: Any) -> dict[str, Any]:
    return read_arguments(function, values, "The file", place="x.", given=["first"])


def test_arguments_have_their_types() -> None:
    assert read(depth=1, rate=1, sizes=[1]) == {"depth": 1, "rate": 1.0, "sizes": (1,)}


@pytest.mark.parametrize("name", ["activation", "free", "unknown", "untyped"])
def test_arguments_that_could_name_code_take_numbers_and_their_default(name: str) -> None:
    for value in (1, 0.5, True, None):
        assert read(depth=1, **{name: value})[name] == value
    if name != "untyped":
        default = {"activation": "gelu"}.get(name, "free")
        assert read(depth=1, **{name: default})[name] == default
    for value in ("os.system", "{class_path: os.system}", {"class_path": "os.system"}, ["a"]):
        with pytest.raises(UsageError, match=f"x.{name} is .*takes numbers from a checkpoint"):
            read(depth=1, **{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 1, "dept": 2, "first": 1}, "The file has unknown settings: x.dept, x.first. It"),
        ({"depth": "two"}, "cannot be: x.depth is 'two', but int is expected"),
        ({"depth": 1, "rate": None}, "cannot be: x.rate is None, but float is expected"),
        ({}, "The file lacks the setting x.depth"),
    ],
)
def test_arguments_that_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(**values)


def test_other_keywords_take_numbers() -> None:
    def open_ended(**others: Any) -> None:
        del others

    assert read_arguments(open_ended, {"a": 1}, "The file") == {"a": 1}
    with pytest.raises(UsageError, match=r"a is 'os\.system'"):
        read_arguments(open_ended, {"a": "os.system"}, "The file")
