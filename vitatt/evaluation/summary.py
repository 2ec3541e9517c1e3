"""The figures of a set of predictions, as lines for people and as a flat record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from vitatt.evaluation.intervals import (
    Interval,
    Statistic,
    balanced_accuracy,
    group_bootstrap,
    macro_auroc,
)

_STATISTICS: dict[str, Statistic] = {
    "balanced accuracy": balanced_accuracy,
    "macro AUROC": macro_auroc,
}


@dataclass(frozen=True)
class Summary:
    """Figures of predictions.

    Attributes:
        intervals: By set of cases (all, complete) and by statistic.
        counts: Cases in each set.
    """

    intervals: dict[str, dict[str, Interval]]
    counts: dict[str, int]

    def lines(self) -> list[str]:
        """One line a figure."""
        return [
            f"{name:18} {interval}  ({where}, n = {self.counts[where]})"
            for where, figures in self.intervals.items()
            for name, interval in figures.items()
        ]

    def figures(self) -> dict[str, float]:
        """``test/<figure>/<set>/<value, low or high>`` to number."""
        return {
            f"test/{name.replace(' ', '_')}/{where.replace(' ', '_')}/{part}": number
            for where, figures in self.intervals.items()
            for name, interval in figures.items()
            for part, number in interval._asdict().items()
        }


def summarise(frame: pl.DataFrame, classes: Sequence[str], features: Sequence[str]) -> Summary:
    """Figures over all cases and over those with complete metadata.

    Where metadata is missing can give the diagnosis away, so a figure that holds only with the
    gaps is no skill: the complete cases show what is left without them.

    Args:
        frame: Columns ``group``, ``true``, ``predicted``, ``p_CLASS`` and the features.
        classes: Class names.
        features: Metadata columns that decide whether a case is complete.
    """
    complete = frame.filter(pl.all_horizontal(pl.col(list(features)).is_not_null()))
    parts = {"all cases": frame}
    if 0 < complete.height < frame.height:
        parts["complete cases"] = complete
    intervals = {where: _intervals(part, classes) for where, part in parts.items()}
    return Summary(
        intervals=intervals,
        counts={where: part.height for where, part in parts.items()},
    )


def _intervals(frame: pl.DataFrame, classes: Sequence[str]) -> dict[str, Interval]:
    index = {name: number for number, name in enumerate(classes)}
    probabilities = frame.select(f"p_{name}" for name in classes).to_numpy()
    targets = frame["true"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    return {
        name: group_bootstrap(statistic, probabilities, targets, frame["group"].to_numpy())
        for name, statistic in _STATISTICS.items()
    }
