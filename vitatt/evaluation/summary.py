"""Main metrics of a set of predictions, with intervals, as lines of text or a flat record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats, Interval, Statistic, group_bootstrap
from vitatt.evaluation.metrics import headline
from vitatt.evaluation.out_of_fold import arrays
from vitatt.types import PositiveClass


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
        """One line for each metric and set of cases."""
        width = max(18, *(len(name) for part in self.intervals.values() for name in part))
        return [
            f"{name:{width}} {interval}  ({where}, n = {self.counts[where]})"
            for where, metrics in self.intervals.items()
            for name, interval in metrics.items()
        ]

    def metrics(self) -> dict[str, float]:
        """Values and bounds, such as ``test_intervals/all_cases_AUROC`` and ``..._AUROC_low``."""
        return {
            f"test_intervals/{_key(where)}_{_key(name)}{_ENDINGS[part]}": number
            for where, metrics in self.intervals.items()
            for name, interval in metrics.items()
            for part, number in interval._asdict().items()
        }


def summarise(
    frame: pl.DataFrame,
    classes: Sequence[str],
    features: Sequence[str],
    other: pl.DataFrame | None = None,
    *,
    positive: PositiveClass | None = None,
) -> Summary:
    """Metrics over all cases and over cases with complete metadata.

    Which metadata is missing can reveal the diagnosis. Complete cases show the metrics without
    that information.

    Args:
        frame: Columns ``group``, ``true``, ``predicted``, ``p_CLASS`` and the features.
        classes: Class names.
        features: Metadata columns that decide whether a case is complete.
        other: Predictions of another network for the same cases in the same order: the metrics are
            then differences to it, paired in every resample.
        positive: The class that is most harmful to miss, if it is known.
    """
    complete = frame.select(pl.all_horizontal(pl.col(list(features)).is_not_null())).to_series()
    parts = {"all cases": pl.repeat(True, frame.height, eager=True)}
    if complete.any() and not complete.all():
        parts["complete cases"] = complete
    probabilities, targets, groups = arrays(frame, classes)
    if other is not None:
        names = [f"p_{name}" for name in classes]
        probabilities = np.concatenate([probabilities, other.select(names).to_numpy()], axis=1)
    intervals = {}
    for where, part in parts.items():
        rows = part.to_numpy()
        intervals[where] = {
            name: group_bootstrap(
                statistic if other is None else _difference(statistic),
                probabilities[rows],
                targets[rows],
                groups[rows],
            )
            for name, statistic in headline(classes, positive).items()
        }
    return Summary(intervals, counts={where: int(part.sum()) for where, part in parts.items()})


_ENDINGS = {"value": "", "low": "_low", "high": "_high"}


def _key(name: str) -> str:
    """A name as trackers take it, without spaces and signs such as that of per cent."""
    return re.sub(r"\W+", "_", name)


def _difference(statistic: Statistic) -> Statistic:
    """Statistic of the first C columns of probabilities (N, 2C) minus that of the others."""

    def difference(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
        one, other = np.split(probabilities, 2, axis=1)
        result: Floats = statistic(one, targets, weights) - statistic(other, targets, weights)
        return result

    return difference
