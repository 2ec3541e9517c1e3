"""Cells of tables, and the format of numbers in reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from vitatt.evaluation.bootstrap import Interval

UNDEFINED = "–"
"""Text of a value that is not defined."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: Its text.
        value: Number that its column is sorted by; None for its text.
        note: Text beside it in grey, such as an interval.
        tag: A framed word beside it, such as ``small``.
        link: Id of the element of the page that the text links to.
        verdict: Whether the text is ``right``, ``wrong`` or ``unknown``, shown as a coloured badge.
    """

    text: str
    value: float | None = None
    note: str = ""
    tag: str = ""
    link: str = ""
    verdict: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.note}".strip()

    def sort_key(self, *, number: bool) -> str:
        """Value that the page's script sorts by; empty for undefined values, which come last.

        Args:
            number: Whether the column is sorted by number.
        """
        if self.value is not None:
            return str(self.value)
        return "" if number or self.text == UNDEFINED else self.text


def cell(value: Cell | Interval | str | float | None) -> Cell:
    """A cell with a text, a number with 3 digits, an integer, or a metric with its interval."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, str):
        return Cell(value)
    if isinstance(value, Interval):
        return interval(*value)
    if value is None or not isinstance(value, Real):
        return Cell(UNDEFINED)
    return number(float(value), 0 if isinstance(value, Integral) else 3)


def number(value: float | None, digits: int = 3) -> Cell:
    """A cell with a number; a dash if it is not defined."""
    if value is None or math.isnan(value):
        return Cell(UNDEFINED)
    text = f"{value:,.{digits}f}".replace("-", "−")
    return Cell(text if text.strip("−0.") else text.lstrip("−"), value)


def interval(value: float | None, low: float | None, high: float | None) -> Cell:
    """A cell with a metric and its interval."""
    metric = number(value)
    if metric.value is None:
        return metric
    return Cell(metric.text, metric.value, f"[{number(low).text}, {number(high).text}]")


def p_value(value: float | None) -> Cell:
    """A cell with a p-value, never shown as 0."""
    p = number(value)
    return Cell("< 0.001", p.value) if p.value is not None and p.value < 0.001 else p


def p_words(value: float | None) -> str:
    """A p-value in a sentence."""
    text = p_value(value).text
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def count(n: int) -> str:
    """A number of cases, without line breaks."""
    return f"n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n:,}"
