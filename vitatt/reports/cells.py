"""Cells of tables, and how a report writes numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        value: What its column is sorted by; None for its text.
        note: Beside the text, in grey, such as an interval.
        tag: A word in a frame, such as ``small``.
    """

    text: str
    value: float | None = None
    note: str = ""
    tag: str = ""


def number(value: float | None, digits: int = 3) -> Cell:
    """A cell with a number; a dash where it is not defined."""
    if value is None or math.isnan(value):
        return Cell("–")
    return Cell(f"{value:,.{digits}f}".replace("-", "−"), value)


def interval(value: float | None, low: float | None, high: float | None) -> Cell:
    """A cell with a metric and its interval."""
    cell = number(value)
    if cell.value is None:
        return cell
    return Cell(cell.text, cell.value, f"[{number(low).text}, {number(high).text}]")


def p_value(value: float | None) -> Cell:
    """A cell with a probability, never shown as 0."""
    cell = number(value)
    return Cell("< 0.001", cell.value) if cell.value is not None and cell.value < 0.001 else cell


def p_words(value: float | None) -> str:
    """A probability in a sentence."""
    text = p_value(value).text
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def count(n: int) -> str:
    """A number of cases, on one line."""
    return f"n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n:,}"
