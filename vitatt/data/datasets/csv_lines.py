"""Where in a CSV file a row stands, for error messages: read again only after an error."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl


def line_of(path: Path, row: int) -> str:
    """``line 17``: where a row begins, quoted line breaks and blank lines counted.

    Args:
        path: The file.
        row: Number of the row below the header, from 0, as polars reads the file.
    """
    for number, (line, _) in enumerate(_records(path), start=-1):
        if number == row:
            return f"line {line}"
    return f"row {row + 1}"


def first_line(path: Path, wrong: pl.Series) -> str:
    """``line 17``: where the first wrong row begins.

    Args:
        path: The file.
        wrong: True for each wrong row, in the order of the file.
    """
    row = wrong.fill_null(value=False).arg_max()
    return line_of(path, int(row or 0))


def unreadable_line(path: Path) -> str:
    """What is wrong where, for a file that is no CSV: empty if nothing is recognised."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return f"line {number} is no UTF-8 text"
    width = 0
    for line_number, record in _records(path):
        width = width or len(record)
        if len(record) > width:
            return f"line {line_number} has {len(record)} values for {width} columns"
    return ""


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """Records from the header on, each with the line where it begins."""
    found: list[tuple[int, list[str]]] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        begin = 1
        try:
            for record in reader:
                if record or found:  # polars skips blank lines above the header alone
                    found.append((begin, record))
                begin = reader.line_num + 1
        except csv.Error:
            pass  # a message without a line is better than none
    return found
