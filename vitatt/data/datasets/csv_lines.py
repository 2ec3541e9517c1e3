"""Line numbers in a CSV file, for error messages; the file is read again for each."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl


def line_of(path: Path, row: int) -> str:
    """Return the line where a row begins, as ``line 17``.

    Blank lines and line breaks in quotes count. For a row that is not found, the number of the row
    is returned instead, as ``row 16``.

    Args:
        path: The file.
        row: Index of the row below the header, from 0, as polars reads the file.
    """
    for number, (line, _) in enumerate(_records(path), start=-1):
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


def unreadable_line(path: Path) -> str:
    """Return what is wrong in which line of a malformed CSV file; empty if nothing is found."""
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
    """Return the records from the header on, each with the line where it begins."""
    found: list[tuple[int, list[str]]] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        begin = 1
        try:
            for record in reader:
                if record or found:  # polars skips blank lines only above the header
                    found.append((begin, record))
                begin = reader.line_num + 1
        except csv.Error:
            pass  # the message then names no line
    return found
