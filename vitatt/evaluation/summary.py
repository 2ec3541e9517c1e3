"""The metrics of a set of predictions, as lines for people and as a flat record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import (
    Floats,
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
    """Metrics of predictions.

    Attributes:
        intervals: By set of cases (all, complete) and by statistic.
        counts: Cases in each set.
    """

    intervals: dict[str, dict[str, Interval]]
    counts: dict[str, int]

    def lines(self) -> list[str]:
        """One line a metric."""
        return [
            f"{name:18} {interval}  ({where}, n = {self.counts[where]})"
            for where, metrics in self.intervals.items()
            for name, interval in metrics.items()
        ]

    def metrics(self) -> dict[str, float]:
        """``test/<metric>/<set>/<value, low or high>`` to number."""
        return {
            f"test/{name.replace(' ', '_')}/{where.replace(' ', '_')}/{part}": number
            for where, metrics in self.intervals.items()
            for name, interval in metrics.items()
            for part, number in interval._asdict().items()
        }


def summarise(
    frame: pl.DataFrame,
    classes: Sequence[str],
    features: Sequence[str],
    other: pl.DataFrame | None = None,
) -> Summary:
    """Metrics over all cases and over those with complete metadata.

    Where metadata is missing can give the diagnosis away, so a metric that holds only with the
    gaps is no skill: the complete cases show what is left without them.

    Args:
        frame: Columns ``group``, ``true``, ``predicted``, ``p_CLASS`` and the features.
        classes: Class names.
        features: Metadata columns that decide whether a case is complete.
        other: Predictions of another network, row by row of the same cases: then the metrics are
            differences to it, paired in every resample.
    """
    complete = frame.select(pl.all_horizontal(pl.col(list(features)).is_not_null())).to_series()
    parts = {"all cases": pl.repeat(True, frame.height, eager=True)}
    if complete.any() and not complete.all():
        parts["complete cases"] = complete
    names = [f"p_{name}" for name in classes]
    index = {name: number for number, name in enumerate(classes)}
    targets = frame["true"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    groups = frame["group"].to_numpy()
    probabilities = [
        table.select(names).to_numpy() for table in (frame, other) if table is not None
    ]
    intervals = {}
    for where, part in parts.items():
        rows = part.to_numpy()
        intervals[where] = {
            name: group_bootstrap(
                statistic if other is None else _difference(statistic),
                np.concatenate(probabilities, axis=1)[rows],
                targets[rows],
                groups[rows],
            )
            for name, statistic in _STATISTICS.items()
        }
    return Summary(intervals, counts={where: int(part.sum()) for where, part in parts.items()})


def _difference(statistic: Statistic) -> Statistic:
    """A statistic of probabilities (N, C) less that of C more columns beside them."""

    def difference(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
        one, other = np.split(probabilities, 2, axis=1)
        result: Floats = statistic(one, targets, weights) - statistic(other, targets, weights)
        return result

    return difference
