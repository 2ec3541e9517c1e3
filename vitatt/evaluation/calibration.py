"""Temperature scaling: one number that makes probabilities as sure as they should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from vitatt.evaluation.bootstrap import Floats

BOUNDS = (0.05, 100.0)
"""Lowest and highest temperature."""

# Of a softmax in float32. Smaller ones are raised to it: the logarithm of 0 has no end.
_SMALLEST = float(np.finfo(np.float32).tiny)


def fit_temperature(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """The temperature with the lowest negative log likelihood.

    The logarithms of probabilities are the logits but for a constant, which the softmax takes away,
    so the model's logits are not needed (Guo et al. 2017, "On calibration of modern neural
    networks", section 4.2). The loss is convex in 1 / temperature, so its one minimum is where the
    derivative vanishes. There is none if all predictions are right (the colder the better), or
    worse than chance (the hotter the better): then the result is an end of `BOUNDS`.

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
        """Derivative by 1 / temperature: the logits expected less those of the truth."""
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
