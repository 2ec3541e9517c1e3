"""Intervals and tests of estimates whose variance has a part over readers and one over cases."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t as student


class Estimate(NamedTuple):
    """A value, its interval, and the test that it is 0; NaN where undefined.

    Attributes:
        value: The estimate.
        error: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        p: Two-sided; NaN for shares, of which 0 is no hypothesis.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


class Variances(NamedTuple):
    """Variance of an estimate over readers and over cases, and their degrees of freedom.

    Attributes:
        readers: Over readers, with the part that is over readings.
        readers_df: Its degrees of freedom.
        cases: Over cases that readers share, at least 0.
        cases_df: Its degrees of freedom.
    """

    readers: float
    readers_df: float
    cases: float
    cases_df: float


def estimate(
    value: float, variances: Variances, *, level: float = 0.95, share: bool = False
) -> Estimate:
    """Interval and test of a value.

    The quantile is the mean of those of two t distributions, weighted by the parts of the variance
    (Cochran 1964, "Approximate significance levels of the Behrens-Fisher test", Biometrics 20,
    191-195). With few readers it covers better than Satterthwaite's degrees of freedom, which
    become too many whenever the variance over readers happens to look small.

    Args:
        value: The estimate.
        variances: Its variance, in two parts.
        level: Coverage of the interval.
        share: Whether the value is a share, from 0 to 1, whose interval is formed on the logit
            scale. A share of 0 or 1 then has none.
    """
    nan = float("nan")
    total = variances.readers + variances.cases
    if not total > TINY:
        return Estimate(value, 0.0 if total >= 0 else nan, nan, nan, nan)
    error = float(np.sqrt(total))
    reach = _quantile((1 - level) / 2, variances) * error
    if not share:
        p = _two_sided(abs(value) / error, variances)
        return Estimate(value, error, value - reach, value + reach, p)
    if not 0 < value < 1:
        return Estimate(value, error, nan, nan, nan)
    reach /= value * (1 - value)  # the slope of the logit
    low, high = (float(expit(logit(value) + side * reach)) for side in (-1, 1))
    return Estimate(value, error, low, high, nan)


TINY = 1e-18
"""Variances below this are those of rounding."""


_SMALLEST_LOG_P = -230.0  # a p below 1e-100 counts as 0


def _quantile(tail: float, variances: Variances) -> float:
    readers, readers_df, cases, cases_df = variances
    share = cases / (readers + cases)
    quantile = float(student.isf(tail, readers_df))
    return quantile + share * (float(student.isf(tail, cases_df)) - quantile)


def _two_sided(ratio: float, variances: Variances) -> float:
    """The p whose quantile is the ratio of a value to its error."""

    def beyond(log_p: float) -> float:
        return _quantile(np.exp(log_p) / 2, variances) - ratio

    if beyond(_SMALLEST_LOG_P) <= 0:
        return 0.0
    return float(np.exp(brentq(beyond, _SMALLEST_LOG_P, 0.0, xtol=1e-12)))
