"""The metrics that a benchmark reports of each arm, computed for many weightings at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import (
    Floats,
    Statistic,
    auroc,
    balanced_accuracy,
    macro_auroc,
    negatives_below,
)
from vitatt.types import UsageError

COMPARED: dict[str, Statistic] = {
    "balanced accuracy": balanced_accuracy,
    "macro AUROC": macro_auroc,
}
"""What arms are compared by and subgroups scored with; higher is better."""

MELANOMA_SENSITIVITY = "melanoma sensitivity at 90 % specificity"

BINS = 15
"""Bins of confidence in the calibration error."""


def metrics(classes: Sequence[str], melanoma: str | None) -> dict[str, Statistic]:
    """All metrics by name, each from probabilities (N, C), targets (N,) and weights (R, N) to (R,).

    The predicted class is the most probable one, and the first of them at a tie, which the official
    ISIC scorer counts as wrong. A metric is NaN where it is undefined, such as the sensitivity to a
    class without cases.

    Args:
        classes: Class names, in the order of the probabilities.
        melanoma: The class whose misses cost most, if there is one.

    Raises:
        UsageError: If `melanoma` is none of the classes.
    """
    if melanoma is not None and melanoma not in classes:
        raise UsageError(
            f"Expected argument `melanoma` to be one of {', '.join(classes)}, but got '{melanoma}'."
        )
    at_high_specificity: dict[str, Statistic] = {}
    if melanoma is not None:
        label = classes.index(melanoma)
        at_high_specificity[MELANOMA_SENSITIVITY] = partial(
            sensitivity_at_specificity, label=label, specificity=0.9
        )
    return {
        **COMPARED,
        **{f"AUROC/{name}": partial(auroc, label=n) for n, name in enumerate(classes)},
        **{f"sensitivity/{name}": partial(sensitivity, label=n) for n, name in enumerate(classes)},
        **{f"specificity/{name}": partial(specificity, label=n) for n, name in enumerate(classes)},
        **at_high_specificity,
        **CALIBRATION,
    }


def sensitivity(
    probabilities: Floats, targets: NDArray[np.int64], weights: Floats, *, label: int
) -> Floats:
    """Weighted share of a class's cases that are predicted as it, (R,)."""
    predicted = probabilities.argmax(1) == label
    return _share(predicted, targets == label, weights)


def specificity(
    probabilities: Floats, targets: NDArray[np.int64], weights: Floats, *, label: int
) -> Floats:
    """Weighted share of the other classes' cases that are not predicted as this one, (R,)."""
    predicted = probabilities.argmax(1) == label
    return _share(~predicted, targets != label, weights)


def sensitivity_at_specificity(
    probabilities: Floats,
    targets: NDArray[np.int64],
    weights: Floats,
    *,
    label: int,
    specificity: float,
) -> Floats:
    """Highest sensitivity to a class at a threshold on its probability that is specific enough.

    The class is called where its probability is at least the threshold. A positive is found at some
    allowed threshold if and only if its own probability is one, so no curve is needed: the weight
    of the negatives below it must reach `specificity` of all. The threshold is chosen anew in each
    weighting, (R,).
    """
    below, _, negative = negatives_below(probabilities[:, label], targets == label, weights)
    # Sums of weights are rounded: 9 of 10 negatives are 90 % whatever the last digit says.
    found = below >= (specificity - 1e-9) * negative
    positive = weights.T[targets == label]
    with np.errstate(invalid="ignore"):
        share = (positive * found).sum(0) / positive.sum(0)
    return np.where(negative > 0, share, np.nan)


def brier(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Brier score, (R,): the squared error summed over classes, averaged over cases.

    From 0 to 2 (Brier 1950, "Verification of forecasts expressed in terms of probability").
    """
    errors = probabilities - np.eye(probabilities.shape[1])[targets]
    return _weighted_mean((errors**2).sum(1), weights)


def calibration_error(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
    """Expected calibration error of the most probable class, (R,).

    The gap between mean confidence and the share predicted right in each of 15 equal bins of
    confidence, (0, 1/15] to (14/15, 1], weighted by its cases (Guo et al. 2017, equation 3).
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == targets
    edges = np.linspace(0, 1, BINS + 1)
    # Confidence may pass 1 by rounding.
    bins = (np.digitize(confidence, edges, right=True) - 1).clip(0, BINS - 1)
    gaps = np.zeros((len(targets), BINS))
    gaps[np.arange(len(targets)), bins] = correct - confidence
    with np.errstate(invalid="ignore"):
        error: Floats = np.abs(weights @ gaps).sum(1) / weights.sum(1)
    return error


CALIBRATION: dict[str, Statistic] = {"Brier": brier, "calibration error": calibration_error}
"""What temperature scaling changes; lower is better."""


def _share(
    counted: NDArray[np.bool_], member: NDArray[np.bool_], weights: Floats
) -> NDArray[np.float64]:
    return _weighted_mean(counted[member].astype(np.float64), weights[:, member])


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        average: Floats = weights @ values / weights.sum(1)
    return average
