"""Records of a CSV file by line, for error messages."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from vitatt.data.datasets.table_text import SEPARATORS, TableText, read_table_text

_NO_TEXT = (".parquet", ".xlsx", ".xls", ".ods")


def line_of(path: Path, row: int) -> str:
    """Return the line where a row begins, as ``line 17``.

    Blank lines and line breaks in quotes count. For a row that is not found, and in files that have
    no lines, the number of the row is returned instead, as ``row 16``.

    Args:
        path: The file.
        row: Index of the row below the header, from 0, as polars reads the file.
    """
    if path.suffix.lower() not in _NO_TEXT:
        for number, (line, _) in enumerate(_records(read_table_text(path)), start=-1):
            if number == row:
                return f"line {line}"
    return f"row {row + 1}"


def first_line(path: Path, wrong: pl.Series) -> str:
    """Return the line where the first wrong row begins, as ``line 17``.

    Args:
        path: The file.
        wrong: True for each wrong row, in the order of the file.
    """
    row = wrong.fill_null(value=False).arg_max()
    return line_of(path, int(row or 0))


def header(form: TableText) -> list[str]:
    """Return the names of the columns, as they stand in a CSV file."""
    return next((record for _, record in _records(form)), [])


def unreadable_line(form: TableText, rows: int | None = None) -> str:
    """Return the first line of a CSV file with another number of values than the header.

    Blank lines are no such line. The answer is empty if there is none.

    Args:
        form: The file.
        rows: Rows below the header that polars read, which accepts short rows, but no long ones;
            None if it read none.
    """
    separators = (len(header(form)) - 1) * (1 + (rows or 0))
    if rows and '"' not in form.text and form.text.count(form.separator) == separators:
        return ""  # as many as whole rows have, so that none is short
    width = 0
    for line_number, record in _records(form):
        width = width or len(record)
        if record and len(record) != width:
            values = f"{len(record)} value{'s' if len(record) > 1 else ''}"
            between = SEPARATORS[form.separator]
            return f"line {line_number} has {values} for {width} columns separated by {between}"
    return ""


def stray_quote(form: TableText) -> str:
    """Return the first line of a CSV file with a single quotation mark within a value.

    The answer is empty if there is none.
    """
    around = f'[^{re.escape(form.separator)}"\r\n]'
    found = re.search(f'(?<={around})"(?={around})', form.text)
    if not found:
        return ""
    line = 1 + form.skipped + form.text.count("\n", 0, found.start())
    return (
        f"line {line} has a quotation mark within a value. Put the value in quotation marks, and "
        "write the one within twice"
    )


def _records(form: TableText) -> Iterator[tuple[int, list[str]]]:
    """Yield the records from the header on, each with the line where it begins."""
    reader = csv.reader(io.StringIO(form.text, newline=""), delimiter=form.separator)
    begin, begun = 1 + form.skipped, False
    try:
        for record in reader:
            if record or begun:  # polars skips blank lines only above the header
                begun = True
                yield begin, record
            begin = reader.line_num + 1 + form.skipped
    except csv.Error:
        pass  # the message then names no line
