"""Bootstrap intervals that resample patients or lesions, not images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, NDArray[np.int64], Floats], Floats]
"""From probabilities (N, C), targets (N,) and case weights (R, N) to R values, NaN if undefined."""


class Interval(NamedTuple):
    """A figure and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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

    Images of one patient resemble each other, so resampling images would make intervals too narrow
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
    probabilities = np.asarray(probabilities, dtype=np.float64)
    targets = np.asarray(targets, dtype=np.int64)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if not len(probabilities) == len(targets) == len(member) > 0:
        raise ValueError(
            "Expected as many probabilities, targets and groups, and at least one, but got "
            f"{len(probabilities)}, {len(targets)} and {len(member)}."
        )
    rng = np.random.default_rng(seed)
    value = statistic(probabilities, targets, np.ones((1, len(targets))))[0]
    resampled = []
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size)
        resampled.append(statistic(probabilities, targets, draws[:, member].astype(np.float64)))
    tail = (1 - level) / 2
    values = np.concatenate(resampled)
    if np.isnan(values).all():
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


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
    """Mean over the classes that occur of the weighted area under the one-against-rest curve, (R,).

    The area is the weighted share of (positive, negative) pairs in the right order, ties counting
    half (Hanley and McNeil 1982).
    """
    areas = []
    for label in range(probabilities.shape[1]):
        scores = probabilities[:, label]
        order = np.argsort(scores, kind="stable")
        _, first, level = np.unique(scores[order], return_index=True, return_inverse=True)
        positive = weights * (targets == label)
        negative = weights * (targets != label)
        # Weight of negatives at each distinct score, then of those below and half of those level.
        at = np.add.reduceat(negative[:, order], first, axis=1)
        below = np.cumsum(at, axis=1) - 0.5 * at
        with np.errstate(invalid="ignore"):
            pairs = positive.sum(1) * negative.sum(1)
            areas.append((positive[:, order] * below[:, level]).sum(1) / pairs)
    return _mean_of_defined(areas)


def mean(values: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Weighted mean of one value a case, (N, 1), over those that are defined, (R,)."""
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
