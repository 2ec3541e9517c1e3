"""Metrics of each reader in each arm, for many weightings of the cases at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats, auroc
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.types import UsageError

Metric = Callable[[ReadingArrays, Floats], Floats]
"""From readings and case weights (W, N) to a metric of each arm and reader, (W, A, R)."""


class Scores(NamedTuple):
    """A metric of each reader in each arm, with all cases and without each group of cases.

    Attributes:
        values: (A, R); (R,) of one arm, or of the gain from one to another.
        without: (G, A, R) or (G, R).
        strata: Kind of each group, (G,), where the study fixes the number of groups of each kind.
    """

    values: Floats
    without: Floats
    strata: NDArray[np.int64]

    def of_arm(self, arm: int) -> Scores:
        """The metric in one arm."""
        return Scores(self.values[arm], self.without[:, arm], self.strata)

    def gain(self, reference: int, arm: int) -> Scores:
        """The difference of an arm to its reference."""
        without = self.without[:, arm] - self.without[:, reference]
        return Scores(self.values[arm] - self.values[reference], without, self.strata)


def jackknife_scores(arrays: ReadingArrays, metric: str) -> Scores:
    """A metric with all cases, and without each group of cases in turn.

    Args:
        arrays: Of a fully crossed study.
        metric: Among `METRICS`.

    Raises:
        UsageError: If leaving out one group leaves a class without cases, so that the variance
            over cases is unknown, or a reading has no score.
    """
    _check_groups(arrays, metric)
    left = np.arange(arrays.num_groups)[:, None] != arrays.group
    weights = np.concatenate([np.ones((1, len(arrays.cases))), left.astype(np.float64)])
    found = METRICS[metric](arrays, weights)
    return Scores(found[0], found[1:], _strata(arrays, metric))


def balanced_accuracy(arrays: ReadingArrays, weights: Floats) -> Floats:
    """Mean over the classes that occur of the share of their cases diagnosed right."""
    recalls = [
        _share(arrays.correct(), arrays.truth == label, weights)
        for label in np.unique(arrays.truth)
    ]
    mean: Floats = np.mean(recalls, axis=0)
    return mean


def sensitivity(arrays: ReadingArrays, weights: Floats) -> Floats:
    """Share of the cases of positive classes that are diagnosed as any positive class."""
    called = arrays.positive[arrays.diagnoses()].astype(np.float64)
    return _share(called, arrays.positive[arrays.truth], weights)


def specificity(arrays: ReadingArrays, weights: Floats) -> Floats:
    """Share of the cases of other classes that are not diagnosed as any positive class."""
    called = arrays.positive[arrays.diagnoses()].astype(np.float64)
    return _share(1 - called, ~arrays.positive[arrays.truth], weights)


def confidence_auroc(arrays: ReadingArrays, weights: Floats) -> Floats:
    """Area under the ROC curve of the confidence that a case is positive, ties counting half.

    Raises:
        UsageError: If a reading has no score.
    """
    scores = arrays.numbers("score")
    if np.isnan(scores).any():
        raise UsageError(
            f"Expected a confidence in every reading, but {int(np.isnan(scores).sum())} have none: "
            "leave AUROC out of the metrics."
        )
    negative = (~arrays.positive[arrays.truth]).astype(np.int64)
    areas = [auroc(one[:, None], negative, weights, label=0) for arm in scores for one in arm]
    return np.stack(areas, axis=1).reshape(len(weights), *scores.shape[:2])


METRICS: dict[str, Metric] = {
    "balanced accuracy": balanced_accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "AUROC": confidence_auroc,
}
"""Metrics by name; of all, higher is better, from 0 to 1."""


def _share(counted: Floats, member: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weighted share of the cases that are counted, (W, A, R); NaN without weight.

    Args:
        counted: 0 or 1, (A, R, N).
        member: Cases of which the share is taken, (N,).
        weights: (W, N).
    """
    total = np.einsum("wn,arn->war", weights[:, member], counted[:, :, member])
    with np.errstate(invalid="ignore"):
        share: Floats = total / weights[:, member].sum(1)[:, None, None]
    return share


def _strata(arrays: ReadingArrays, metric: str) -> NDArray[np.int64]:
    """Kind of each group, (G,): its class or, of sensitivity and specificity, if it is positive.

    One kind for all if a group has cases of several, and for AUROC, whose variance is by custom
    that of the jackknife over all cases.
    """
    kinds = arrays.truth if metric == "balanced accuracy" else arrays.positive[arrays.truth]
    found = np.zeros(arrays.num_groups, np.int64)
    found[arrays.group] = kinds
    if metric == "AUROC" or (found[arrays.group] != kinds).any():
        return np.zeros_like(found)
    return found


def _check_groups(arrays: ReadingArrays, metric: str) -> None:
    """Each class, or positives and negatives, must have cases of two groups."""
    if metric == "balanced accuracy":
        kinds = {name: arrays.truth == label for label, name in enumerate(arrays.classes)}
        kinds = {name: member for name, member in kinds.items() if member.any()}
    else:
        positive = arrays.positive[arrays.truth]
        kinds = {"positive": positive, "negative": ~positive}
        if metric in ("sensitivity", "specificity"):
            del kinds["negative" if metric == "sensitivity" else "positive"]
    for name, member in kinds.items():
        count = len(np.unique(arrays.group[member]))
        if count < 2:
            raise UsageError(
                f"Expected the {metric} to have cases of at least 2 groups of the class {name}, "
                f"but there are {count}: its variance over cases is unknown. Read more cases, or "
                "leave this metric out."
            )
