"""The page of a robustness study: metrics of models on perturbed images and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.reports.cells import UNDEFINED, Cell, interval
from vitatt.reports.page import write_page
from vitatt.reports.section import Column, Plot, Section, Table
from vitatt.reports.templates import paragraphs
from vitatt.studies.robustness_results import TITLES, axis_of

_TEMPLATE = "robustness.txt.jinja"
_SUBTITLE = "Metrics on perturbed images and metadata. Research only: not a medical device."
_CURVE = ("model", "perturbation", "metric")
_INTERVAL = "value [95 % interval]"
_NONE = Cell(UNDEFINED)


def robustness_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    curves: pl.DataFrame,
    summary: pl.DataFrame | None,
    figures: Mapping[str, NDArray[np.uint8]],
    notes: Sequence[str],
) -> None:
    """Write the page; an earlier one stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made if it is missing.
        title: Heading of the page.
        facts: Short values by name, shown below the heading.
        curves: One row for each model, kind, perturbation, level and metric, with the columns of
            `vitatt.studies.robustness_scores.CURVES`.
        summary: For each model, kind, perturbation and metric ``below_at`` and
            ``surely_below_at``, as `vitatt.studies.robustness_scores.falls_below` gives them; None
            without a model to compare with.
        figures: RGB figures (H, W, 3) by kind, as in ``curves``.
        notes: Sentences about the cases, the draws and the intervals.

    Raises:
        ValueError: If a figure is malformed, or there is nothing to show.
    """
    write_page(
        path,
        title=title,
        subtitle=_SUBTITLE,
        facts=facts,
        sections=robustness_sections(curves, summary, figures, notes),
    )


def robustness_sections(
    curves: pl.DataFrame,
    summary: pl.DataFrame | None,
    figures: Mapping[str, NDArray[np.uint8]],
    notes: Sequence[str],
) -> list[Section]:
    """How to read the page, then one section for each kind of perturbation.

    Args:
        curves: As for `robustness_page`.
        summary: As for `robustness_page`.
        figures: By kind.
        notes: Sentences.
    """
    if not curves["difference"].is_not_null().any():
        summary = None
    reading = paragraphs(_TEMPLATE, block="reading", compared=summary is not None)
    kinds = dict.fromkeys([*curves["kind"].unique(maintain_order=True), *figures])
    return [
        Section("How to read this page", reading, notes),
        *(_kind(kind, curves, summary, figures.get(kind)) for kind in kinds),
    ]


def _kind(
    kind: str,
    curves: pl.DataFrame,
    summary: pl.DataFrame | None,
    figure: NDArray[np.uint8] | None,
) -> Section:
    # Without the detail in brackets, which stands in the figure.
    title = TITLES.get(kind, kind).partition(" (")[0]
    of_kind = curves.filter(pl.col("kind") == kind)
    crossings = None
    if summary is not None:
        rows = summary.filter(pl.col("kind") == kind).iter_rows(named=True)
        crossings = {tuple(row[name] for name in _CURVE): row for row in rows}
    alt = f"{title}: curves of each metric over the level of each perturbation; numbers below"
    tables = [
        _ends(of_kind.filter(pl.col("metric") == metric), metric, crossings)
        for metric in of_kind["metric"].unique(maintain_order=True)
    ]
    return Section(
        title,
        tables=[*tables, _levels(of_kind)] if tables else [],
        plots=[] if figure is None else [Plot(figure, alt)],
        plots_first=True,
    )


def _ends(
    curves: pl.DataFrame, metric: str, crossings: Mapping[tuple[Any, ...], Any] | None
) -> Table:
    """First and last level of each curve of a metric, and where it falls below the reference."""
    columns = [
        *(Column(name, number=False) for name in _CURVE[:2]),
        Column("unchanged input", _INTERVAL),
        Column("highest level", _INTERVAL),
        Column("at level"),
    ]
    if crossings is not None:
        columns += [Column("below at", "level"), Column("significantly below at", "level")]
    rows = []
    for (model, perturbation), curve in curves.group_by(*_CURVE[:2], maintain_order=True):
        points = curve.sort("level")
        first, last = points.row(0, named=True), points.row(-1, named=True)
        name = str(perturbation)
        row = [*_names(first), _value(first)]
        row += [_value(last), _level(name, last["level"])] if points.height > 1 else [_NONE, _NONE]
        if crossings is not None:
            crossing = crossings.get((model, perturbation, metric), {})
            row += [_level(name, crossing.get(key)) for key in ("below_at", "surely_below_at")]
        rows.append(row)
    title = f"{metric[0].upper()}{metric[1:]}: first and last level"
    return Table(title, columns, rows)


def _levels(curves: pl.DataFrame) -> Table:
    """One row for each measured point."""
    compared = curves["difference"].is_not_null().any()
    columns = [*(Column(name, number=False) for name in _CURVE), Column("level")]
    columns.append(Column("metric", _INTERVAL))
    if compared:
        columns.append(Column("difference", "to the model without metadata [95 %]"))
    rows = []
    for point in curves.sort(*_CURVE, "level", maintain_order=True).iter_rows(named=True):
        level = _level(point["perturbation"], point["level"])
        row = [*_names(point), Cell(point["metric"]), level, _value(point)]
        if compared:
            names = ("difference", "difference_low", "difference_high")
            row.append(interval(*(point[name] for name in names)))
        rows.append(row)
    return Table("All levels", columns, rows, folded=True)


def _names(point: Mapping[str, Any]) -> list[Cell]:
    return [Cell(point["model"]), Cell(axis_of(point["perturbation"]).title)]


def _value(point: Mapping[str, Any]) -> Cell:
    return interval(point["value"], point["low"], point["high"])


def _level(perturbation: str, level: float | None) -> Cell:
    if level is None:
        return _NONE
    percent = axis_of(perturbation).percent
    return Cell(f"{100 * level:g} %" if percent else f"{level:g}", level)
