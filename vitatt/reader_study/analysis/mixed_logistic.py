"""Mixed logistic regression of correct diagnoses on arm and experience."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.laplace import Levels
from vitatt.reader_study.analysis.laplace_fit import (
    Fit,
    RestrictedFit,
    maximum_likelihood,
    restricted_likelihood,
)
from vitatt.reader_study.analysis.means import ALL_READERS, BOUNDS, PAIR, pairs_of, table
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.types import UsageError

SAME_ARMS = "all arms are equal"
"""Tested without interaction of arms and experience."""

SAME_GAINS = "arms differ equally at every level of experience"


@dataclasses.dataclass(frozen=True)
class CorrectnessModel:
    """Results of the regression.

    Attributes:
        odds: One row for each arm and band: ``arm``, ``experience``, and the odds of a right
            diagnosis by the average reader on the average case, ``value``, ``low``, ``high``.
        ratios: Odds ratios of pairs of arms, with the columns of `means.differences`; over all
            readers, of the mean over bands.
        tests: One row for each hypothesis: ``hypothesis``, ``f``, ``df1``, ``df2``, ``p``.
        deviations: One row for each random factor: ``factor``, ``deviation`` in log odds.
        readings: Number of readings.
    """

    odds: pl.DataFrame
    ratios: pl.DataFrame
    tests: pl.DataFrame
    deviations: pl.DataFrame
    readings: int


def fit_correctness(arrays: ReadingArrays, *, level: float = 0.95) -> CorrectnessModel:
    """Regress correctness on arm x experience, with crossed readers and cases.

    Random intercepts are of readers, of cases, and of both within arms, since AI helps some readers
    more than others, and is right on some cases only: without the latter two, intervals of arms
    would be too narrow. If groups have several cases, of groups too. Readings may be missing.
    Intervals are Wald's, tests are of likelihood ratios. Their degrees of freedom are those of the
    analysis of variance, since few readers estimate the variance between them: in one arm, R - B
    for R readers in B bands; between A arms, (R - B) (A - 1).

    Args:
        arrays: The readings.
        level: Coverage of intervals.

    Raises:
        UsageError: If there are too few readers, or all diagnoses of an arm and band are right, or
            all wrong, so that the odds are infinite (separation).
    """
    _, there = np.unique(arrays.band, return_inverse=True)
    bands = int(there.max()) + 1
    names = [arrays.bands[number] for number in np.unique(arrays.band)]
    df = len(arrays.readers) - bands
    if df < 1:
        raise UsageError(
            f"Expected more readers than levels of experience, but got {len(arrays.readers)} "
            f"readers at {bands} levels: their variance is unknown."
        )
    arm, reader, case = np.nonzero(arrays.present)
    outcome = arrays.correct()[arm, reader, case]
    cell = arm * bands + there[reader]
    _check_separation(arrays, names, cell, outcome)
    factors = _factors(arrays, arm, reader, case)
    levels = list(factors.values())
    cells = np.eye(len(arrays.arms) * bands)
    arms = len(arrays.arms)
    fit = restricted_likelihood(outcome, cells[cell], levels)
    additive = maximum_likelihood(outcome, _additive(arms, bands)[cell], levels)
    without_arms = maximum_likelihood(outcome, np.tile(np.eye(bands), (arms, 1))[cell], levels)
    within = df * (arms - 1)
    tests = [_likelihood_ratio(SAME_ARMS, additive, without_arms, arms - 1, within)]
    if bands > 1:
        full = maximum_likelihood(outcome, cells[cell], levels)
        count = (arms - 1) * (bands - 1)
        tests.append(_likelihood_ratio(SAME_GAINS, full, additive, count, within))
    kinds = {"hypothesis": pl.String, "f": pl.Float64, "df1": pl.Int64, "df2": pl.Int64}
    return CorrectnessModel(
        odds=_odds(arrays, names, fit, df, level),
        ratios=_ratios(arrays, names, fit, within, level),
        tests=table(tests, {**kinds, "p": pl.Float64}),
        deviations=table(
            [
                {"factor": name, "deviation": float(deviation)}
                for name, deviation in zip(factors, fit.deviations, strict=True)
            ],
            {"factor": pl.String, "deviation": pl.Float64},
        ),
        readings=len(outcome),
    )


def _factors(arrays: ReadingArrays, arm: Levels, reader: Levels, case: Levels) -> dict[str, Levels]:
    """Level of each reading in each random factor; those with one reading a level are left out."""
    arms = len(arrays.arms)
    factors = {
        "reader": reader,
        "case": case,
        "reader x arm": reader * arms + arm,
        "case x arm": case * arms + arm,
    }
    if arrays.num_groups < len(arrays.cases):
        factors["group"] = arrays.group[case]
    compact = {name: np.unique(of, return_inverse=True)[1] for name, of in factors.items()}
    return {name: of for name, of in compact.items() if int(of.max()) + 1 < len(of)}


def _check_separation(
    arrays: ReadingArrays, names: list[str], cell: Levels, outcome: Floats
) -> None:
    for number, arm in enumerate(arrays.arms):
        for place, name in enumerate(names):
            own = outcome[cell == number * len(names) + place]
            where = f"the {len(own)} diagnoses of {name} readers in arm {arm}"
            if not len(own):
                raise UsageError(f"Expected readings of every arm and band, but {where} are none.")
            if own.min() == own.max():
                kind = "right" if own[0] else "wrong"
                raise UsageError(
                    f"Expected right and wrong diagnoses in every arm and band, but {where} are "
                    f"all {kind}: their odds are infinite. Compare shares instead, or use fewer "
                    "bands."
                )


def _additive(arms: int, bands: int) -> Floats:
    """Design of each cell with main effects only, (arms * bands, arms + bands - 1)."""
    rows = [
        np.concatenate([np.eye(arms)[arm], np.eye(bands)[band][1:]])
        for arm in range(arms)
        for band in range(bands)
    ]
    return np.array(rows)


def _likelihood_ratio(
    hypothesis: str, full: Fit, smaller: Fit, count: int, df: int
) -> dict[str, object]:
    """Likelihood ratio over its number of parameters, as an F."""
    f = max(2 * (full.log_likelihood - smaller.log_likelihood), 0) / count
    p = float(f_distribution.sf(f, count, df))
    return {"hypothesis": hypothesis, "f": f, "df1": count, "df2": df, "p": p}


def _wald(fit: RestrictedFit, weights: Floats, df: int, level: float) -> dict[str, float]:
    """Exponential of a contrast of coefficients, with its interval and p."""
    value = float(weights @ fit.coefficients)
    error = float(np.sqrt(weights @ fit.covariance @ weights))
    reach = float(student.ppf((1 + level) / 2, df)) * error
    low, middle, high = np.exp([value - reach, value, value + reach]).tolist()
    p = float(2 * student.sf(abs(value) / error, df))
    return {"value": middle, "low": low, "high": high, "p": p}


def _odds(
    arrays: ReadingArrays, names: list[str], fit: RestrictedFit, df: int, level: float
) -> pl.DataFrame:
    cells = np.eye(len(arrays.arms) * len(names))
    rows = []
    for number, arm in enumerate(arrays.arms):
        for place, name in enumerate(names):
            found = _wald(fit, cells[number * len(names) + place], df, level)
            del found["p"]  # odds of 1 are no hypothesis
            rows.append({"arm": arm, "experience": name, **found})
    return table(rows, {"arm": pl.String, "experience": pl.String, **BOUNDS})


def _ratios(
    arrays: ReadingArrays, names: list[str], fit: RestrictedFit, df: int, level: float
) -> pl.DataFrame:
    bands = len(names)
    of_band = {ALL_READERS: np.full(bands, 1 / bands)}
    if bands > 1:
        of_band |= dict(zip(names, np.eye(bands), strict=True))
    rows = []
    for one, other in pairs_of(arrays):
        arms = np.zeros(len(arrays.arms))
        arms[[one, other]] = -1, 1
        pair = {"arm": arrays.arms[other], "reference": arrays.arms[one]}
        for name, weights in of_band.items():
            found = _wald(fit, np.outer(arms, weights).ravel(), df, level)
            rows.append({**pair, "experience": name, **found})
    return table(rows, PAIR)
