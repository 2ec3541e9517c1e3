"""Reliability curves, and temperature scaling of probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from vitatt.evaluation.bootstrap import Floats
from vitatt.types import CALIBRATION_BINS

BOUNDS = (0.05, 100.0)
"""Lowest and highest temperature."""

# Probabilities below the smallest normal float32 are raised to it, since log(0) is infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)


class ReliabilityCurve(NamedTuple):
    """Confidence and accuracy of predictions in bins of confidence.

    Attributes:
        confidence: Mean probability of the predicted class in each bin, (bins,), NaN if empty.
        accuracy: Share of the predictions in each bin that are right, (bins,), NaN if empty.
        cases: Number of cases in each bin, (bins,).
    """

    confidence: Floats
    accuracy: Floats
    cases: NDArray[np.int64]


def reliability_curve(probabilities: Floats, targets: NDArray[np.int64]) -> ReliabilityCurve:
    """Confidence and accuracy in the bins of the calibration error.

    Args:
        probabilities: (N, C).
        targets: Class of each case, (N,).
    """
    right = (probabilities.argmax(1) == targets).astype(np.float64)
    return confidence_curve(probabilities.max(1), right)


def confidence_curve(confidence: Floats, right: Floats) -> ReliabilityCurve:
    """Confidence and accuracy in the same bins, of predictions whose confidence was stated.

    Args:
        confidence: Of each prediction, 0 to 1, (N,).
        right: 1 or 0 for each, (N,).
    """
    bins = confidence_bins(confidence)
    cases = np.bincount(bins, minlength=CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        means = [
            np.bincount(bins, values, CALIBRATION_BINS) / cases for values in (confidence, right)
        ]
    return ReliabilityCurve(means[0], means[1], cases)


def confidence_bins(confidence: Floats) -> NDArray[np.int64]:
    """Bin of each confidence, (N,), of `CALIBRATION_BINS` equal ones: (0, 1/15] to (14/15, 1]."""
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    # Confidence may exceed 1 by rounding.
    return (np.digitize(confidence, edges, right=True) - 1).clip(0, CALIBRATION_BINS - 1)


def fit_temperature(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """The temperature with the lowest negative log likelihood.

    Logarithms of probabilities equal the logits up to a constant that the softmax cancels, so the
    logits are not needed (Guo et al. 2017, "On calibration of modern neural networks", section
    4.2). The loss is convex in 1 / temperature: its minimum is where the derivative is zero. If all
    predictions are right, or are worse than chance, the loss has no minimum, and the result is the
    lower or upper end of `BOUNDS`.

    Args:
        probabilities: (N, C), of cases that the model was not trained on.
        targets: Class of each case, (N,).

    Raises:
        ValueError: If there is no case, or lengths differ.
    """
    targets = np.asarray(targets, dtype=np.int64)
    logits = _logits(np.asarray(probabilities, dtype=np.float64))
    if not len(logits) == len(targets) > 0:
        raise ValueError(
            "Expected as many probabilities as targets, and at least one, but got "
            f"{len(logits)} and {len(targets)}."
        )

    if not np.ptp(logits, axis=1).any():
        return 1.0  # uniform at any temperature
    of_truth = logits[np.arange(len(targets)), targets]

    def slope(log_temperature: float) -> float:
        """Derivative by 1 / temperature: mean of expected logit minus logit of the true class."""
        expected = (softmax(logits / np.exp(log_temperature), axis=1) * logits).sum(1)
        return float((expected - of_truth).mean())

    cold, hot = np.log(BOUNDS)
    if slope(cold) <= 0:
        return BOUNDS[0]
    if slope(hot) >= 0:
        return BOUNDS[1]
    return float(np.exp(brentq(slope, cold, hot)))


def temper(probabilities: ArrayLike, temperature: ArrayLike) -> Floats:
    """Probabilities to the power of 1 / temperature, normalised, (N, C).

    Args:
        probabilities: (N, C).
        temperature: One for all, or one a case, (N,).
    """
    logits = _logits(np.asarray(probabilities, dtype=np.float64))
    divisor = np.asarray(temperature, dtype=np.float64)[..., None]
    tempered: Floats = softmax(logits / divisor, axis=1)
    return tempered


def _logits(probabilities: NDArray[np.float64]) -> Floats:
    logits: Floats = np.log(np.maximum(probabilities, _SMALLEST))
    return logits
