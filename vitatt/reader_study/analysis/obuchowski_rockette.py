"""Analysis of variance of a metric over random readers and random cases.

Obuchowski and Rockette 1995 (Communications in Statistics: Simulation and Computation 24, 285-308),
with the degrees of freedom of Hillis 2007 (Statistics in Medicine 26, 596-619). The metric of
reader j in arm i is mu + arm_i + reader_j + (arm x reader)_ij + error_ij. The errors are
correlated, since all readers read the same cases in all arms: Cov1 within a reader between arms,
Cov2 within an arm between readers, Cov3 otherwise.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import TINY, Estimate
from vitatt.reader_study.analysis.scores import Scores
from vitatt.types import UsageError


@dataclasses.dataclass(frozen=True)
class VarianceAnalysis:
    """Results of an analysis of variance.

    Attributes:
        ms_arm: Mean square of arms.
        ms_reader: Mean square of readers.
        ms_arm_reader: Mean square of their interaction.
        variance: Variance of the error.
        cov1: Covariance of errors within readers, between arms.
        cov2: Within arms, between readers.
        cov3: Between arms and readers.
        f: F of the hypothesis that all arms are equal.
        df: Degrees of freedom of its numerator and denominator.
        p: Of that hypothesis.
        arms: Mean of each arm over readers, tested against 0.
        arms_df: Degrees of freedom of each.
        differences: Of each pair of arms, the later minus the earlier, by their numbers, with the
            denominator's degrees of freedom.
    """

    ms_arm: float
    ms_reader: float
    ms_arm_reader: float
    variance: float
    cov1: float
    cov2: float
    cov3: float
    f: float
    df: tuple[float, float]
    p: float
    arms: tuple[Estimate, ...]
    arms_df: tuple[float, ...]
    differences: dict[tuple[int, int], Estimate]


def analyse_variance(scores: Scores, level: float = 0.95) -> VarianceAnalysis:
    """Compare arms, for the population of readers and that of cases.

    The covariances are those of the jackknife over groups of cases. Each arm's interval is from its
    own mean square of readers and Cov2, each difference's from those of all arms (Hillis 2007).
    Estimates that would make a variance smaller than that over readers
    alone are raised to 0.

    Args:
        scores: Of at least 2 arms and 2 readers.
        level: Coverage of intervals.

    Raises:
        UsageError: If there are fewer arms or readers.
    """
    values = scores.values
    arms, readers = values.shape
    if arms < 2 or readers < 2:
        raise UsageError(
            "Expected at least 2 arms and 2 readers who read all cases in all arms, but got "
            f"{arms} and {readers}: the variance over readers is unknown."
        )
    flat = scores.without.reshape(len(scores.without), -1)
    covariance = jackknife_covariance(flat, scores.strata)
    covariance = covariance.reshape(arms, readers, arms, readers)
    same_arm, same_reader = np.eye(arms, dtype=bool), np.eye(readers, dtype=bool)
    variance, cov1, cov2, cov3 = (
        float(covariance.transpose(0, 2, 1, 3)[of_arms][:, of_readers].mean())
        for of_arms, of_readers in (
            (same_arm, same_reader),
            (~same_arm, same_reader),
            (same_arm, ~same_reader),
            (~same_arm, ~same_reader),
        )
    )
    of_arm, of_reader = values.mean(1), values.mean(0)
    residual = values - of_arm[:, None] - of_reader + values.mean()
    ms_arm = readers * float(of_arm.var(ddof=1))
    ms_reader = arms * float(of_reader.var(ddof=1))
    ms_arm_reader = float((residual**2).sum()) / ((arms - 1) * (readers - 1))

    error = ms_arm_reader + readers * max(cov2 - cov3, 0)
    df = _hillis(error, ms_arm_reader, (arms - 1) * (readers - 1))
    f = ms_arm / error if error > TINY else float("nan")
    shared = [float(covariance[arm, :, arm, :][~same_reader].mean()) for arm in range(arms)]
    own = [float(one.var(ddof=1)) / readers for one in values]
    of_each = [
        _hillis_estimate(float(mean), spread, readers - 1, over_cases, level)
        for mean, spread, over_cases in zip(of_arm, own, shared, strict=True)
    ]
    differences = {
        (one, other): _hillis_estimate(
            float(of_arm[other] - of_arm[one]),
            2 / readers * ms_arm_reader,
            (arms - 1) * (readers - 1),
            2 * (cov2 - cov3),
            level,
        )[0]
        for one in range(arms)
        for other in range(one + 1, arms)
    }
    return VarianceAnalysis(
        ms_arm,
        ms_reader,
        ms_arm_reader,
        variance,
        cov1,
        cov2,
        cov3,
        f,
        (arms - 1, df),
        float(f_distribution.sf(f, arms - 1, df)),
        tuple(found for found, _ in of_each),
        tuple(df for _, df in of_each),
        differences,
    )


def jackknife_covariance(without: Floats, strata: NDArray[np.int64]) -> Floats:
    """Covariances over cases of K statistics, (K, K), by the jackknife over G groups.

    (G - 1) / G times the sum of products of deviations from their mean (Efron 1982, "The jackknife,
    the bootstrap and other resampling plans", section 3); summed over strata, each with its own
    mean and number of groups (section 3.6). Without strata, the variance of a mean over classes of
    n cases each would be n / (n - 1) times too large.

    Args:
        without: The statistics without each group, (G, K).
        strata: Stratum of each group, (G,).
    """
    total: Floats = np.zeros((without.shape[1], without.shape[1]))
    for stratum in np.unique(strata):
        part = without[strata == stratum]
        deviations = part - part.mean(0)
        total += (len(part) - 1) / len(part) * deviations.T @ deviations
    return total


def _hillis_estimate(
    value: float, over_readers: float, df: float, over_cases: float, level: float
) -> tuple[Estimate, float]:
    """Interval and test of a mean over readers, and its degrees of freedom.

    The degrees of freedom are those of Satterthwaite with the variance over cases taken as known
    (Hillis 2007).

    Args:
        value: The mean.
        over_readers: Its variance over readers, from mean squares.
        df: Degrees of freedom of that part.
        over_cases: Its variance over cases that readers share; below 0, it counts as 0.
        level: Coverage of the interval.
    """
    nan = float("nan")
    variance = over_readers + max(over_cases, 0)
    if not variance > TINY:
        return Estimate(value, 0.0, nan, nan, nan), nan
    error = float(np.sqrt(variance))
    df = _hillis(variance, over_readers, df)
    reach = float(student.ppf((1 + level) / 2, df)) * error
    p = float(2 * student.sf(abs(value) / error, df))
    return Estimate(value, error, value - reach, value + reach, p), df


def _hillis(total: float, over_readers: float, df: float) -> float:
    return total**2 / (over_readers**2 / df) if over_readers > TINY else float("inf")
