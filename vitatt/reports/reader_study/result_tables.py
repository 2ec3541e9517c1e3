"""Tables of results: values by arm, and differences between arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.plotting.forest import forest_figure
from vitatt.reports.cells import UNDEFINED, Cell, interval, number, p_value
from vitatt.reports.reader_study.names import Names, capital
from vitatt.reports.section import Column, Plot, Table

_VALUE = ("value", "low", "high")


def by_arm(
    title: str,
    values: pl.DataFrame,
    keys: Sequence[str],
    names: Names,
    *,
    digits: int = 3,
    folded: bool = False,
) -> Table:
    """A row for each combination of keys and a column for each arm.

    Args:
        title: Of the table.
        values: With the keys, ``arm``, ``value``, ``low`` and ``high``.
        keys: Columns that name the rows.
        names: Words of the study.
        digits: Of the numbers.
        folded: Whether the table is hidden until the reader opens it.
    """
    arms = [arm for arm in names.arms if arm in values["arm"].unique().to_list()]
    found = {
        (*(row[key] for key in keys), row["arm"]): value_cell(row, digits)
        for row in values.iter_rows(named=True)
    }
    rows = [
        [
            *(Cell(_word(key, part, names)) for key, part in zip(keys, place, strict=True)),
            *(found.get((*place, arm), Cell(UNDEFINED)) for arm in arms),
        ]
        for place in values.select(keys).unique(maintain_order=True).iter_rows()
    ]
    columns = [*(Column(_HEADS.get(key, key), number=False) for key in keys)]
    columns += [Column(names.arms[arm], f"[{names.percent}]") for arm in arms]
    return Table(title, columns, rows, folded=folded)


def differences(
    title: str,
    values: pl.DataFrame,
    keys: Sequence[str],
    names: Names,
    *,
    holm: bool = False,
    value: str = "difference",
    sign: str = "−",
    digits: int = 3,
    folded: bool = False,
) -> Table:
    """A row for each difference between two arms.

    If all rows have the same two arms, the title names them.

    Args:
        title: Of the table.
        values: With the keys, ``arm``, ``reference``, ``value``, ``low``, ``high`` and ``p``.
        keys: Columns that name the rows beside the arms.
        names: Words of the study.
        holm: Whether there is a column ``p_holm``.
        value: Name of the difference.
        sign: Between the arms.
        digits: Of the numbers.
        folded: Whether the table is hidden until the reader opens it.
    """
    pairs = {
        names.pair(arm, reference, sign)
        for arm, reference in values.select("arm", "reference").iter_rows()
    }
    one_pair = len(pairs) == 1 and bool(keys)
    columns = [Column(_HEADS.get(key, key), number=False) for key in keys]
    columns += [] if one_pair else [Column("arms", number=False)]
    columns += [Column(value, f"[{names.percent}]"), Column("p")]
    columns += [Column("p after Holm")] if holm else []
    rows = [
        [
            *(Cell(_word(key, row[key], names)) for key in keys),
            *([] if one_pair else [Cell(names.pair(row["arm"], row["reference"], sign))]),
            value_cell(row, digits),
            p_value(row["p"]),
            *([p_value(row["p_holm"])] if holm else []),
        ]
        for row in values.iter_rows(named=True)
    ]
    title = f"{title}: {pairs.pop()}" if one_pair else title
    return Table(title, columns, rows, folded=folded)


def forest(
    values: pl.DataFrame,
    key: str,
    series: str,
    names: Names,
    *,
    xlabel: str,
    ylabel: str,
    line: float | None = None,
    line_label: str = "",
    caption: str = "",
) -> Plot:
    """A forest plot with a row for each value of one column and a series for each of another.

    Args:
        values: With both columns, ``value``, ``low`` and ``high``.
        key: Column that names the rows.
        series: Column that names the series, at most five.
        names: Words of the study.
        xlabel: Name of the values.
        ylabel: Name of the rows.
        line: A value to compare with.
        line_label: Its name.
        caption: Below the figure.
    """
    labels = values[key].unique(maintain_order=True).to_list()
    drawn: dict[str, NDArray[np.float64]] = {}
    for name in values[series].unique(maintain_order=True):
        own = {row[key]: row for row in values.filter(pl.col(series) == name).iter_rows(named=True)}
        drawn[_word(series, name, names)] = _numbers([own.get(label) for label in labels])
    return Plot(
        forest_figure(
            [_word(key, label, names) for label in labels],
            drawn,
            xlabel=f"{xlabel}\n({names.percent} interval)".replace(" %", "\N{NO-BREAK SPACE}%"),
            ylabel=ylabel,
            line=line,
            line_label=line_label,
        ),
        f"Forest plot: {xlabel} by {ylabel}, with {names.percent} intervals, for "
        f"{', '.join(drawn)}. The numbers are in the tables of this section.",
        caption,
    )


def value_cell(row: dict[str, Any], digits: int = 3) -> Cell:
    """A cell with value and interval; a value without interval alone."""
    value, low, high = (row[name] for name in _VALUE)
    if digits == 3 and low is not None and high is not None:
        return interval(value, low, high)
    cell = number(value, digits)
    if cell.value is None or low is None or high is None:
        return cell
    return Cell(cell.text, cell.value, f"[{number(low, digits).text}, {number(high, digits).text}]")


def degrees(value: float | None) -> str:
    """Degrees of freedom as text."""
    return "∞" if value is None or np.isinf(value) else f"{value:.1f}"


def _numbers(rows: Sequence[dict[str, Any] | None]) -> Floats:
    nan = float("nan")
    return np.array(
        [
            [nan if row is None or row[name] is None else float(row[name]) for name in _VALUE]
            for row in rows
        ]
    )


_HEADS = {"hypothesis": "hypothesis", "experience": "experience", "ai": "AI"}


def _word(key: str, value: str, names: Names) -> str:
    if key == "experience":
        return names.band(value)
    if key in ("arm", "reference"):
        return names.arms.get(value, value)
    return capital(value)
