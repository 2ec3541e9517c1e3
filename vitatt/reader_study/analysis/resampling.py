"""Intervals of statistics over random readers and random cases, by a two-way jackknife."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import Estimate, Variances, estimate

Statistic = Callable[[Floats], Floats]
"""From sums of readings (..., K) to a statistic, (...), NaN where undefined."""


def two_way_jackknife(
    sums: Floats, statistic: Statistic, *, level: float = 0.95, share: bool = False
) -> Estimate:
    """A statistic of readings with its interval, for the population of readers and that of cases.

    The statistic is computed without each reader, without each group of cases, and without both.
    The pseudo-values, one for each reader and group, are analysed like readings that are crossed
    (Dorfman, Berbaum and Metz 1992, Investigative Radiology 27, 723-731, who left out cases only):
    the variance of their mean is (MS readers + max(MS groups - MS interaction, 0)) / (R G). In
    simulations its intervals cover 93 to 98 %; percentiles of a bootstrap of readers and cases
    cover up to 99.8 %, since resampling both counts the variance over readings three times (Owen
    2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 386-411).

    Args:
        sums: Of readings over the cases of each group, (R, G, K). A missing reading adds 0;
            readers and groups without any do not count.
        statistic: Of the sums over readers and groups.
        level: Coverage of the interval.
        share: Whether the statistic is a share, see `estimate`.

    Returns:
        An estimate without interval if there are fewer than 2 readers or groups, or if the
        statistic is undefined without one of them.
    """
    read = (sums != 0).any(2)
    sums = sums[read.any(1)][:, read.any(0)]
    readers, groups = sums.shape[:2]
    total = sums.sum((0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = statistic(total)
        nan = float("nan")
        if readers < 2 or groups < 2:
            return Estimate(float(value), nan, nan, nan, nan)
        without_reader, without_group = total - sums.sum(1), total - sums.sum(0)
        without_both = without_reader[:, None] - sums.sum(0) + sums
        pseudo = (
            readers * groups * value
            - (readers - 1) * groups * statistic(without_reader)[:, None]
            - readers * (groups - 1) * statistic(without_group)
            + (readers - 1) * (groups - 1) * statistic(without_both)
        )
    return estimate(float(value), _variances(pseudo), level=level, share=share)


def ratio(sums: Floats) -> Floats:
    """First of two sums (..., 2) over the second, (...): a mean."""
    quotient: Floats = sums[..., 0] / sums[..., 1]
    return quotient


def difference_of_ratios(sums: Floats) -> Floats:
    """Difference of two means, the second minus the first, from sums (..., 4), (...)."""
    return ratio(sums[..., 2:]) - ratio(sums[..., :2])


def sums_of(values: Floats, group: NDArray[np.int64]) -> Floats:
    """Sums and numbers of defined values (R, N) over the cases of each group, (R, G, 2)."""
    defined = ~np.isnan(values)
    member = np.eye(int(group.max()) + 1)[group]
    return np.stack([np.where(defined, values, 0) @ member, defined @ member], axis=-1)


def _variances(values: Floats) -> Variances:
    """Variance of the mean of pseudo-values (R, G) over readers and groups."""
    readers, groups = values.shape
    mean = values.mean()
    of_reader, of_group = values.mean(1), values.mean(0)
    ms_reader = groups * float(((of_reader - mean) ** 2).sum()) / (readers - 1)
    ms_group = readers * float(((of_group - mean) ** 2).sum()) / (groups - 1)
    rest = values - of_reader[:, None] - of_group + mean
    ms_both = float((rest**2).sum()) / ((readers - 1) * (groups - 1))
    number = readers * groups
    cases = max(ms_group - ms_both, 0) / number if ms_both == ms_both else float("nan")
    return Variances(ms_reader / number, readers - 1, cases, groups - 1)
