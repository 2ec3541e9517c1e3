"""The report of explanations: one HTML file that opens from disk and needs no network."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from numbers import Integral, Real
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from vitatt.explain.cases import ExplainedCase
from vitatt.files import write_text
from vitatt.plotting.feature_bars import format_percent
from vitatt.plotting.heatmap import check_image
from vitatt.reports.explanations.report_case import (
    ReportCase,
    figure_address,
    overlay_address,
    report_case,
)

Cell = str | float | int | None


@dataclass(frozen=True, eq=False)
class Section:
    """One block of the overview or of the evaluation: text, then a plot, then a table.

    Attributes:
        title: Heading.
        text: One paragraph in plain words; may be empty.
        plot: Pixels (H, W, 3) uint8, RGB; shown at most 640 pixels wide.
        plot_alt: What the plot shows, for those who cannot see it.
        columns: Headings of the table.
        rows: Cells of the table, as many in each row as there are columns.
    """

    title: str
    text: str = ""
    plot: NDArray[np.uint8] | None = None
    plot_alt: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()


def write_report(
    path: Path,
    cases: Iterable[ExplainedCase],
    *,
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
) -> None:
    """Write the report; a report that was there stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made where it is missing.
        cases: What to show, one at a time: their pixels are not kept.
        title: Heading of the page.
        facts: Short values by name, shown below the heading.
        sections: Shown before the cases.

    Raises:
        ValueError: If there is no case, an id comes twice, or a case or section is malformed.
    """
    for section in sections:
        _check_section(section)
    shown = [report_case(case) for case in cases]
    _check_ids(shown)
    page = _environment().get_template("report.html.jinja")
    script = _asset("report.js")
    html = page.render(
        title=title,
        facts=facts,
        sections=sections,
        cases=shown,
        true_classes=_classes(shown, {case.true_class for case in shown}),
        predicted_classes=_classes(shown, {case.predicted_class for case in shown}),
        scale=overlay_address(np.linspace(0, 1, 256)[None]),
        style=_asset("report.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(html, path)


def _check_section(section: Section) -> None:
    for row in section.rows:
        if len(row) != len(section.columns):
            raise ValueError(
                f"Expected argument `rows` to have {len(section.columns)} cells in each row of "
                f"section '{section.title}', but got {len(row)}: {list(row)}"
            )
    if section.plot is not None:
        check_image(section.plot, "plot")
        if not section.plot_alt:
            raise ValueError(
                f"Expected argument `plot_alt` to say what the plot of section "
                f"'{section.title}' shows, but it is empty"
            )


def _check_ids(cases: Sequence[ReportCase]) -> None:
    if not cases:
        raise ValueError("Expected argument `cases` to hold at least one case, but got none")
    counts = Counter(case.case_id for case in cases)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"Expected argument `cases` to have each case once, but got more of {twice[:5]}"
        )


def _classes(cases: Sequence[ReportCase], occurring: set[str | None]) -> list[str]:
    """Those that occur, in the order of the logits; diagnoses that no model knows come last."""
    known = dict.fromkeys(name for case in cases for name in case.probabilities)
    others = sorted(name for name in occurring if name is not None and name not in known)
    return [name for name in known if name in occurring] + others


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vitatt.reports.explanations", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": _format_cell,
        "column_kinds": _column_kinds,
        "percent": format_percent,
        "plot": figure_address,
    }
    return environment


def _column_kinds(section: Section) -> list[str]:
    """``number`` for a column in which any cell is one, else ``text``."""
    columns = zip(*section.rows, strict=True) if section.rows else [()] * len(section.columns)
    return [
        "number" if any(isinstance(cell, Real) for cell in column) else "text" for column in columns
    ]


def _format_cell(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return f"{cell:.3f}"
    return str(cell).replace(" %", "\N{NO-BREAK SPACE}%")


def _asset(name: str) -> str:
    return resources.files("vitatt.reports.explanations").joinpath(name).read_text(encoding="utf-8")
