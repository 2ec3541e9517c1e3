"""The result of one check of explanation methods, before it is arranged on a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Interval

Value = str | float | int | Interval | None
"""A cell of a table: words, a number, a number with its interval, or None where undefined."""


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """One check, such as a perturbation test: an explanation in words, a table and a figure.

    Studies return a list of them; `vitatt.reports.explanations.checks` arranges them on the page.

    Attributes:
        title: Name of the check.
        text: How to read the table and the figure, in sentences.
        columns: Headings of the table; empty where the check gives no table.
        rows: Cells of the table, each row as long as ``columns``. Numbers are not rounded.
        figure: RGB image of shape (height, width, 3).
        figure_alt: Description of the figure for those who do not see it.
    """

    title: str
    text: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()
    figure: NDArray[np.uint8] | None = None
    figure_alt: str = ""
