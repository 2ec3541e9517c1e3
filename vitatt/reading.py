"""Read result files; every problem with a file is reported in one line that names it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from vitatt.types import UsageError


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        UsageError: If the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}, line {line}: this is no UTF-8 text.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        UsageError: If the file cannot be read, is not JSON, or holds no object at its top level.
    """
    text = read_text(path)
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: this is no JSON: {error.msg}.") from error
    except RecursionError as error:
        raise UsageError(f"{path} is no JSON of vitatt: it is nested too deeply.") from error
    return _mapping(plain, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        UsageError: If the file cannot be read, is not YAML, or holds no mapping at its top level.
    """
    text = read_text(path)
    try:
        plain = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise UsageError(f"{path}, line {line}: this is no YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} is no YAML: {reason}") from error
    return _mapping(plain, path)


def read_parquet(
    path: Path, columns: Sequence[str], numbers: Sequence[str] = (), *, what: str = "predictions"
) -> pl.DataFrame:
    """Return the table in a Parquet file.

    Args:
        path: The file.
        columns: Required columns; the table may have others.
        numbers: Columns that must be numeric where they exist.
        what: The expected content, for the message.

    Raises:
        UsageError: If the file cannot be read, is not Parquet, lacks a required column, or has
            other values than numbers in a numeric one.
    """
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{path} is no parquet file of {what}: {_first_line(error)}") from error
    return _checked(frame, path, columns, numbers)


def read_csv(
    path: Path, columns: Sequence[str], types: dict[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """Return the table in a CSV file.

    Args:
        path: The file.
        columns: Required columns; the table may have others.
        types: Types of columns, where these exist.

    Raises:
        UsageError: If the file cannot be read as CSV with these types, or lacks a required column.
    """
    try:
        frame = pl.read_csv(path, schema_overrides=types, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{path} cannot be read as a table: {_first_line(error)}") from error
    return _checked(frame, path, columns, ())


def _checked(
    frame: pl.DataFrame, path: Path, columns: Sequence[str], numbers: Sequence[str]
) -> pl.DataFrame:
    if lacking := [name for name in columns if name not in frame.columns]:
        raise UsageError(
            f"{path} lacks the column {lacking[0]}: it has other contents than its folder says."
        )
    for name in numbers:
        if name in frame.columns and not frame.schema[name].is_numeric():
            raise UsageError(
                f"Expected the column {name} of {path} to hold numbers, but got "
                f"{frame.schema[name]}: it was changed."
            )
    return frame


def _mapping(plain: object, path: Path) -> dict[str, Any]:
    if not isinstance(plain, dict):
        kind = "nothing" if plain is None else f"a {type(plain).__name__}"
        raise UsageError(f"Expected {path} to hold values by name, but it holds {kind}.")
    return plain


def _first_line(error: Exception) -> str:
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__
