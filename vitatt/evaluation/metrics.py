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
from vitatt.types import CALIBRATION_BINS, PositiveClass, UsageError, class_index

COMPARED: dict[str, Statistic] = {
    "balanced accuracy": balanced_accuracy,
    "macro AUROC": macro_auroc,
}
"""Main metrics of any number of classes; higher is better."""

PARTIAL_AUROC = "partial AUROC above 80 % TPR"
"""Name of `partial_auroc`, from 0 to 0.2; TPR: true positive rate, sensitivity."""

AVERAGE_PRECISION = "average precision"


def compared(classes: Sequence[str], positive: PositiveClass | None) -> dict[str, Statistic]:
    """The main metrics, by which models are compared: higher is better.

    `COMPARED`; of two classes the metrics of the positive one, which the probabilities of the other
    would only repeat.

    Args:
        classes: Class names, in the order of the probabilities.
        positive: The class that is most harmful to miss, if it is known.

    Raises:
        UsageError: If `positive` is none of the classes.
    """
    label = _label(classes, positive)
    if label is None or len(classes) != 2:
        return COMPARED
    return {
        "balanced accuracy": balanced_accuracy,
        "AUROC": partial(auroc, label=label),
        PARTIAL_AUROC: partial(partial_auroc, label=label),
        AVERAGE_PRECISION: partial(average_precision, label=label),
    }


def sensitivities(classes: Sequence[str], positive: PositiveClass | None) -> dict[str, Statistic]:
    """Sensitivity of the positive class at 90 % specificity, of two classes also at 80 and 95 %.

    Args:
        classes: Class names, in the order of the probabilities.
        positive: The class that is most harmful to miss, if it is known.

    Raises:
        UsageError: If `positive` is none of the classes.
    """
    label = _label(classes, positive)
    if label is None or positive is None:
        return {}
    return {
        f"{positive.title} sensitivity at {percent} % specificity": partial(
            sensitivity_at_specificity, label=label, specificity=percent / 100
        )
        for percent in ((80, 90, 95) if len(classes) == 2 else (90,))
    }


def headline(classes: Sequence[str], positive: PositiveClass | None) -> dict[str, Statistic]:
    """The metrics of a test run: `compared`, and of two classes also the `sensitivities`."""
    more = sensitivities(classes, positive) if len(classes) == 2 else {}
    return {**compared(classes, positive), **more}


def metrics(classes: Sequence[str], positive: PositiveClass | None) -> dict[str, Statistic]:
    """All metrics by name, each from probabilities (N, C), targets (N,) and weights (R, N) to (R,).

    The predicted class is the most probable one, at a tie the first of them; the official ISIC
    scorer counts ties as wrong. A metric is NaN where it is undefined, such as the sensitivity of a
    class without cases.

    Args:
        classes: Class names, in the order of the probabilities.
        positive: The class that is most harmful to miss, if it is known. Of two classes, the
            metrics are of this one alone.

    Raises:
        UsageError: If `positive` is none of the classes.
    """
    label = _label(classes, positive)
    return {
        **compared(classes, positive),
        **{
            f"{kind}/{name}": partial(statistic, label=number)
            for kind, statistic in BY_CLASS.items()
            for number, name in enumerate(classes)
            # Of two classes, AUROC is a main metric, and the sensitivity of one is the specificity
            # of the other.
            if label is None or len(classes) != 2 or (number == label and kind != "AUROC")
        },
        **sensitivities(classes, positive),
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


def partial_auroc(
    probabilities: Floats, targets: NDArray[np.int64], weights: Floats, *, label: int
) -> Floats:
    """Area of a class between its ROC curve and the line of 80 % sensitivity, (R,).

    From 0 to 0.2; 0.02 by chance. With the true positive rate t and the false positive rate f, the
    area is the integral of max(t - 0.8, 0) over f from 0 to 1, the score of the ISIC 2024 challenge
    (Kurtansky et al. 2024, "The SLICE-3D dataset"). Its organisers compute it with labels and
    scores reversed, where it is the integral of 1 - f over 1 - t from 0 to 0.2, and so is it here.
    Each score that positive cases have is one straight piece of the curve.
    """
    positive = targets == label
    scores = probabilities[:, label]
    below, level_or_below, negative = negatives_below(scores, positive, weights)
    first, mass = _by_score(scores[positive], weights.T[positive])
    below, level_or_below = below[first], level_or_below[first]
    total = mass.sum(0)
    missed = mass.cumsum(0) - mass  # of the positives, where the piece begins
    used = np.clip((1 - _LEAST_TPR) * total - missed, 0, mass)
    share = np.divide(used, mass, out=np.zeros_like(mass), where=mass > 0)
    area = (used * (below + share * (level_or_below - below) / 2)).sum(0)
    with np.errstate(invalid="ignore"):
        value: Floats = area / (total * negative)
    return value


def average_precision(
    probabilities: Floats, targets: NDArray[np.int64], weights: Floats, *, label: int
) -> Floats:
    """Mean precision of a class over the recall gained at each threshold, (R,).

    The sum of (R_n - R_(n-1)) P_n with recall R_n and precision P_n of the cases scored at least
    the n-th threshold, without interpolation, as scikit-learn defines it. NaN without other
    classes, too, where any prediction would be precise.
    """
    positive = targets == label
    scores = probabilities[:, label]
    below, _, negative = negatives_below(scores, positive, weights)
    first, mass = _by_score(scores[positive], weights.T[positive])
    total = mass.sum(0)
    found = total - mass.cumsum(0) + mass  # positives with at least this score
    called = found + negative - below[first]
    precision = np.divide(found, called, out=np.zeros_like(mass), where=mass > 0)
    with np.errstate(invalid="ignore"):
        value: Floats = (mass * precision).sum(0) / total
    return np.where(negative > 0, value, np.nan)


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


_LEAST_TPR = 0.8


def _label(classes: Sequence[str], positive: PositiveClass | None) -> int | None:
    """Index of the positive class.

    Raises:
        UsageError: If it is none of the classes.
    """
    if positive is None:
        return None
    if positive.name not in classes:
        raise UsageError(
            f"Expected argument `positive` to be one of {', '.join(classes)}, but got "
            f"'{positive.name}'."
        )
    return class_index(classes)[positive.name]


def _by_score(scores: Floats, weights: Floats) -> tuple[NDArray[np.int64], Floats]:
    """One case of each of S distinct scores, rising, (S,), and the weight of all of it, (S, R).

    Args:
        scores: (P,).
        weights: (P, R).
    """
    values, first, member = np.unique(scores, return_index=True, return_inverse=True)
    mass = np.zeros((len(values), weights.shape[1]))
    np.add.at(mass, member, weights)
    return first, mass


def _share(
    counted: NDArray[np.bool_], member: NDArray[np.bool_], weights: Floats
) -> NDArray[np.float64]:
    return _weighted_mean(counted[member].astype(np.float64), weights[:, member])


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        average: Floats = weights @ values / weights.sum(1)
    return average
