"""Bootstrap intervals that resample patients or lesions, not images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, NDArray[np.int64], Floats], Floats]
"""From probabilities (N, C), targets (N,) and case weights (R, N) to (R,), NaN if undefined."""


class Interval(NamedTuple):
    """A metric and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Resampled(NamedTuple):
    """A metric of the cases, and of each resample of their groups.

    Attributes:
        value: Of the cases as they are.
        values: Of the resamples, (R,), NaN where undefined.
    """

    value: float
    values: Floats

    def interval(self, level: float = 0.95) -> Interval:
        """Percentile interval over the resamples in which the metric is defined."""
        if np.isnan(self.values).all():
            return Interval(self.value, float("nan"), float("nan"))
        tail = (1 - level) / 2
        low, high = np.nanquantile(self.values, [tail, 1 - tail])
        return Interval(self.value, float(low), float(high))


def resample(
    statistics: Mapping[str, Statistic],
    probabilities: ArrayLike,
    targets: ArrayLike,
    groups: ArrayLike,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Resampled]:
    """Several statistics on the same resamples of whole groups, drawn with replacement.

    Seed and group names determine the resamples, so that metrics of two models on the same cases
    are paired, resample by resample.

    Args:
        statistics: By name; each computes many resamples at once, see `Statistic`.
        probabilities: (N, C).
        targets: Class of each case, (N,).
        groups: Group of each case, (N,).
        num_resamples: Number of resamples, R.
        seed: Decides the resamples.

    Raises:
        ValueError: If there is no case, or lengths differ.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    targets = np.asarray(targets, dtype=np.int64)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if not len(probabilities) == len(targets) == len(member) > 0:
        raise ValueError(
            "Expected as many probabilities, targets and groups, and at least one, but got "
            f"{len(probabilities)}, {len(targets)} and {len(member)}."
        )
    rng = np.random.default_rng(seed)
    once = np.ones((1, len(targets)))
    chunks: dict[str, list[Floats]] = {name: [] for name in statistics}
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
        # The weights of a case are adjacent in memory, so that selecting cases copies whole rows.
        weights = np.ascontiguousarray(draws.T, dtype=np.float64)[member].T
        for name, statistic in statistics.items():
            chunks[name].append(statistic(probabilities, targets, weights))
    return {
        name: Resampled(
            float(statistic(probabilities, targets, once)[0]), np.concatenate(chunks[name])
        )
        for name, statistic in statistics.items()
    }


def group_bootstrap(
    statistic: Statistic,
    probabilities: ArrayLike,
    targets: ArrayLike,
    groups: ArrayLike,
    *,
    num_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic, resampling whole groups with replacement.

    Images of one patient are correlated, so resampling images would make intervals too narrow
    (Davison and Hinkley 1997, section 3.8).

    Args:
        statistic: Computes all resamples at once, see `Statistic`.
        probabilities: (N, C).
        targets: Class of each case, (N,).
        groups: Group of each case, (N,).
        num_resamples: Number of resamples.
        level: Coverage aimed at.
        seed: Decides the resamples.

    Raises:
        ValueError: If there is no case, or lengths differ.
    """
    resampled = resample(
        {"": statistic}, probabilities, targets, groups, num_resamples=num_resamples, seed=seed
    )
    return resampled[""].interval(level)


def balanced_accuracy(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Mean over the classes that occur of the weighted share predicted right, (R,)."""
    correct = (probabilities.argmax(1) == targets).astype(np.float64)
    recalls = []
    for label in range(probabilities.shape[1]):
        member = (targets == label).astype(np.float64)
        with np.errstate(invalid="ignore"):
            recalls.append(weights @ (member * correct) / (weights @ member))
    return _mean_of_defined(recalls)


def macro_auroc(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Mean over the classes that occur of the area under the one-against-rest curve, (R,)."""
    labels = range(probabilities.shape[1])
    return _mean_of_defined([auroc(probabilities, targets, weights, label=c) for c in labels])


def auroc(
    probabilities: Floats, targets: NDArray[np.int64], weights: Floats, *, label: int
) -> Floats:
    """Area under the curve of one class against the rest, (R,).

    The area is the weighted share of (positive, negative) pairs in the right order, ties counting
    half (Hanley and McNeil 1982).
    """
    below, level_or_below, negative = negatives_below(
        probabilities[:, label], targets == label, weights
    )
    positive = weights.T[targets == label]
    with np.errstate(invalid="ignore"):
        pairs = positive.sum(0) * negative
        area: Floats = (positive * (below + level_or_below)).sum(0) / (2 * pairs)
    return area


def negatives_below(
    scores: Floats, positive: NDArray[np.bool_], weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weight of the negatives scored below each positive, in each of R weightings.

    Args:
        scores: (N,).
        positive: (N,).
        weights: (R, N).

    Returns:
        Weight of the negatives with a lower score than each of the P positives, (P, R); of those
        with a lower score or the same; and of all, (R,).
    """
    negatives = np.flatnonzero(~positive)
    order = negatives[np.argsort(scores[negatives], kind="stable")]
    mass = np.zeros((len(order) + 1, len(weights)))
    np.cumsum(weights.T[order], axis=0, out=mass[1:])
    lower, upper = (np.searchsorted(scores[order], scores[positive], s) for s in ("left", "right"))
    return mass[lower], mass[upper], mass[-1]


def mean(values: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Weighted mean of one value for each case, (N, 1), over those that are defined, (R,)."""
    del targets
    defined = ~np.isnan(values[:, 0])
    with np.errstate(invalid="ignore"):
        total: Floats = weights[:, defined] @ values[defined, 0] / weights[:, defined].sum(1)
    return total


_CHUNK = 100


def _mean_of_defined(columns: list[Floats]) -> Floats:
    values = np.stack(columns, axis=1)
    defined = ~np.isnan(values)
    count = defined.sum(1)
    total = np.where(defined, values, 0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
