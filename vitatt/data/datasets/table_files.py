"""Tables in files of any usual kind: CSV in all its forms, Excel and Parquet."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from vitatt.data.datasets.csv_lines import header, stray_quote, unreadable_line
from vitatt.data.datasets.table_text import read_table_text
from vitatt.types import DataError


class RawTable(NamedTuple):
    """A table as it is in its file.

    Attributes:
        frame: Every value as text, null where empty; without empty rows at the end.
        notes: Remarks for the user, one sentence each.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()


def find_table(path: Path) -> Path:
    """The file of a table, whose ending may be another than the published one.

    Args:
        path: Where it is published to be, such as ``metadata.csv``.

    Returns:
        `path` if it is there or nothing else is, or the same name with another known ending.

    Raises:
        DataError: If there are several files with other endings.
    """
    if path.is_file() or not path.name:
        return path
    others = [other for ending in READERS if (other := path.with_suffix(ending)).is_file()]
    if len(others) > 1:
        raise DataError(
            f"Expected one table in place of {path}, but there are "
            f"{' and '.join(other.name for other in others)}. Keep one of them."
        )
    return others[0] if others else path


def read_table(path: Path) -> RawTable:
    """Read a table, every value as text.

    Args:
        path: A file that exists.

    Raises:
        DataError: If it cannot be read, is of a kind that needs a package, or has a column twice.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is no table that can be read: its name ends in '{path.suffix}'. Known are "
            f"{', '.join(READERS)}."
        )
    names, frame, notes = reader(path)
    names = [name.strip() for name in names]
    nameless = [n for n, name in enumerate(names) if not name]
    empty = {n for n in nameless if not frame.select(_filled(pl.nth(n)).any()).item()}
    frame = frame.select(pl.nth(n) for n in range(len(names)) if n not in empty)
    names = [name for n, name in enumerate(names) if n not in empty]
    if "" in names[1:]:  # the first may be the index of pandas
        raise DataError(
            f"Expected the first row of {path} to name every column, but got {names}. Remove what "
            "stands above or beside the table."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has the column {twice[0]} twice. Remove one of them.")
    frame.columns = names
    last = frame.select(pl.any_horizontal(_filled(pl.all()))).to_series().arg_true()
    return RawTable(frame.head(int(last[-1]) + 1 if len(last) else 0), notes)


def _filled(text: pl.Expr) -> pl.Expr:
    """Whether each value is more than spaces."""
    return text.str.strip_chars().fill_null("") != ""


class _Read(NamedTuple):
    """Names of the columns, the rows below them, and remarks."""

    names: list[str]
    frame: pl.DataFrame
    notes: tuple[str, ...] = ()


def _csv(path: Path) -> _Read:
    form = read_table_text(path)
    try:
        frame = pl.read_csv(form.text.encode(), separator=form.separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path} cannot be read as a CSV file: it is empty.") from error
    except pl.exceptions.PolarsError as error:
        reason = unreadable_line(form) or stray_quote(form) or str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a CSV file: {reason}.") from error
    if reason := unreadable_line(form, frame.height):  # polars fills short rows with nulls
        raise DataError(f"{path} cannot be read as a CSV file: {reason}.")
    names = header(form)
    if len(names) != frame.width:
        raise DataError(f"{path} cannot be read as a CSV file: its first line is no header.")
    notes = (f"{path.name} was read as {' with '.join(form.notes)}.",) if form.notes else ()
    return _Read(names, frame, notes)


def _parquet(path: Path) -> _Read:
    try:
        frame = pl.read_parquet(path, glob=False)
        return _Read(frame.columns, frame.with_columns(pl.all().cast(pl.String)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} cannot be read as a Parquet table of plain values: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _excel(path: Path) -> _Read:
    if importlib.util.find_spec("fastexcel") is None:
        raise DataError(
            f"Reading {path} needs a package: pip install 'vitatt[excel]'. Or save the sheet as "
            "CSV."
        )
    import fastexcel

    try:
        sheets = fastexcel.read_excel(path).sheet_names
        whole: Any = pl.read_excel(path, has_header=False, infer_schema_length=0)
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} cannot be read as an Excel file: {str(error).splitlines()[0]}"
        ) from error
    if whole.is_empty():
        raise DataError(f"{path} cannot be read as an Excel file: its first sheet is empty.")
    names = [str(name or "") for name in whole.row(0)]
    notes: tuple[str, ...] = ()
    if len(sheets) > 1:
        notes = (f"{path.name} has {len(sheets)} sheets; the first, '{sheets[0]}', is read.",)
    return _Read(names, whole.slice(1), notes)


READERS: dict[str, Callable[[Path], _Read]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".parquet": _parquet,
    ".xlsx": _excel,
    ".xls": _excel,
    ".ods": _excel,
}
"""Readers of tables by the ending of the file."""
