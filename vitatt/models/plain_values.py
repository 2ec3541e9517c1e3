"""Plain values from a file as arguments of a function, checked against its signature."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vitatt.types import UsageError

_SCALARS = (bool, int, float, str, types.NoneType)
_UNIONS = (Union, types.UnionType)
_LISTS = (list, tuple, Sequence)
_DICTS = (dict, Mapping)


def read_arguments(
    function: Callable[..., Any],
    values: Mapping[str, Any],
    source: str,
    *,
    place: str = "",
    given: Collection[str] = (),
) -> dict[str, Any]:
    """Arguments of a function from plain values, in the types of its annotations.

    An argument whose type is not made of scalars, lists and dicts only takes a number, None or its
    default, because a string or dict could name code.

    Args:
        function: A function or class.
        values: By argument.
        source: Of the values, to begin messages with.
        place: Of the arguments in it, such as ``fusion.init_args.``, for messages.
        given: Names of arguments that come from elsewhere.

    Raises:
        UsageError: If an argument is unknown, has a value of another type, or has neither value nor
            default.
    """
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {p.name: p for p in parameters if p.kind in kinds and p.name not in given}
    takes_others = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not takes_others and (unknown := sorted(map(str, values.keys() - known.keys()))):
        raise UsageError(
            f"{source} has unknown settings: {', '.join(place + name for name in unknown)}. It was "
            "changed, or written by another version of vitatt."
        )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in values:
            raise UsageError(
                f"{source} lacks the setting {place}{name}. It was changed, or written by another "
                "version of vitatt."
            )
    read = {}
    for name, value in values.items():
        default = known[name].default if name in known else inspect.Parameter.empty
        try:
            read[name] = _argument(value, _hint(function, name), default)
        except ValueError as error:
            raise UsageError(
                f"{source} has settings that cannot be: {place}{name} is {value!r}, but {error}. "
                "It was changed, or written by another version of vitatt."
            ) from error
    return read


def as_type(value: Any, hint: Any) -> Any:
    """A plain value in an annotated type: a list as a tuple for `tuple`, 1 as 1.0 for `float`.

    Raises:
        ValueError: If it is of another type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is float and type(value) is int:
        return float(value)
    if hint in _SCALARS or hint is None:
        if type(value) is (types.NoneType if hint is None else hint):
            return value
    elif origin is Literal:
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
    elif origin in _UNIONS:
        return _first_of(value, arguments)
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            types_of = get_type_hints(hint)
            return dataclasses.replace(
                value, **{name: as_type(getattr(value, name), types_of[name]) for name in types_of}
            )
    elif origin in _LISTS and isinstance(value, list | tuple):
        return _items(value, hint)
    elif origin in _DICTS and isinstance(value, dict):
        return {as_type(k, arguments[0]): as_type(v, arguments[1]) for k, v in value.items()}
    raise ValueError(f"{_words(hint)} is expected")


def _argument(value: Any, hint: Any, default: Any) -> Any:
    if _is_plain(hint):
        return as_type(value, hint)
    if type(value) in (bool, int, float, types.NoneType):
        return value
    if type(value) is type(default) and value == default:
        return value
    raise ValueError("this argument takes numbers from a checkpoint, or its default")


def _items(value: Sequence[Any], hint: Any) -> Sequence[Any]:
    kinds = [part for part in get_args(hint) if part is not ...]
    if get_origin(hint) is not tuple:
        return [as_type(item, kinds[0]) for item in value]
    if ... in get_args(hint):
        return tuple(as_type(item, kinds[0]) for item in value)
    if len(kinds) != len(value):
        raise ValueError(f"{_words(hint)} is expected")
    return tuple(as_type(item, kind) for item, kind in zip(value, kinds, strict=True))


def _first_of(value: Any, hints: Sequence[Any]) -> Any:
    """The value in the first type that fits; an int is tried as int before float."""
    for hint in sorted(hints, key=lambda kind: kind is not type(value)):
        try:
            return as_type(value, hint)
        except ValueError:
            continue
    raise ValueError(f"{' or '.join(_words(hint) for hint in hints)} is expected")


def _is_plain(hint: Any) -> bool:
    """Whether a type is made of scalars, lists and dicts only."""
    origin = get_origin(hint)
    if hint in _SCALARS or hint is None or origin is Literal:
        return True
    containers = (*_UNIONS, *_LISTS, *_DICTS)
    return origin in containers and all(
        _is_plain(part) for part in get_args(hint) if part is not ...
    )


def _hint(function: Callable[..., Any], name: str) -> Any:
    """Type of an argument; `Any` without an annotation that can be resolved."""
    owner = getattr(function, "__init__", function) if isinstance(function, type) else function
    annotations = getattr(owner, "__annotations__", {})
    only = types.SimpleNamespace(__annotations__={name: annotations.get(name, Any)})
    try:
        return get_type_hints(only, getattr(owner, "__globals__", None))[name]
    except (AttributeError, NameError, TypeError):
        return Any


def _words(hint: Any) -> str:
    if hint is types.NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
