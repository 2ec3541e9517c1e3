"""All metrics of predictions by name, each computed for many case weightings at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from vitatt.evaluation.calibration import confidence_bins
from vitatt.types import CALIBRATION_BINS, UsageError, class_index

COMPARED: dict[str, Statistic] = {
    "balanced accuracy": balanced_accuracy,
    "macro AUROC": macro_auroc,
}
"""Main metrics: of arms, subgroups, test runs and robustness curves; higher is better."""

MELANOMA_SENSITIVITY = "melanoma sensitivity at 90 % specificity"


def metrics(classes: Sequence[str], melanoma: str | None) -> dict[str, Statistic]:
    """All metrics by name, each from probabilities (N, C), targets (N,) and weights (R, N) to (R,).

    The predicted class is the most probable one, at a tie the first of them; the official ISIC
    scorer counts ties as wrong. A metric is NaN where it is undefined, such as the sensitivity of a
    class without cases.

    Args:
        classes: Class names, in the order of the probabilities.
        melanoma: The melanoma class, if there is one.

    Raises:
        UsageError: If `melanoma` is none of the classes.
    """
    if melanoma is not None and melanoma not in classes:
        raise UsageError(
            f"Expected argument `melanoma` to be one of {', '.join(classes)}, but got '{melanoma}'."
        )
    index = class_index(classes)
    at_high_specificity: dict[str, Statistic] = {}
    if melanoma is not None:
        at_high_specificity[MELANOMA_SENSITIVITY] = partial(
            sensitivity_at_specificity, label=index[melanoma], specificity=0.9
        )
    return {
        **COMPARED,
        **{
            f"{kind}/{name}": partial(statistic, label=label)
            for kind, statistic in BY_CLASS.items()
            for name, label in index.items()
        },
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
    """Highest sensitivity of a class among thresholds with at least this specificity, (R,).

    A case is called positive if its probability of the class is at least the threshold. A positive
    case is detected at an allowed threshold if and only if its own probability is an allowed
    threshold: if the negatives below it have at least the share `specificity` of the weight of all
    negatives. So no curve is needed. The threshold is chosen for each weighting.
    """
    below, _, negative = negatives_below(probabilities[:, label], targets == label, weights)
    # With a tolerance, since sums of weights are rounded: 9 of 10 negatives are 90 %.
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
    gaps = np.zeros((len(targets), CALIBRATION_BINS))
    gaps[np.arange(len(targets)), confidence_bins(confidence)] = correct - confidence
    with np.errstate(invalid="ignore"):
        error: Floats = np.abs(weights @ gaps).sum(1) / weights.sum(1)
    return error


BY_CLASS: dict[str, Callable[..., Floats]] = {
    "AUROC": auroc,
    "sensitivity": sensitivity,
    "specificity": specificity,
}
"""Statistics of one class, given as ``label``; higher is better."""

CALIBRATION: dict[str, Statistic] = {"Brier": brier, "calibration error": calibration_error}
"""Metrics that temperature scaling changes; lower is better."""


def _share(
    counted: NDArray[np.bool_], member: NDArray[np.bool_], weights: Floats
) -> NDArray[np.float64]:
    return _weighted_mean(counted[member].astype(np.float64), weights[:, member])


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        average: Floats = weights @ values / weights.sum(1)
    return average
