"""Effects of periods and of carry-over in a crossover study."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import TINY
from vitatt.reader_study.analysis.means import table
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.scores import jackknife_scores

NO_CARRY_OVER = "no carry-over: the arm of the period before does not matter"
NO_PERIOD = "no effect of the period"

_TESTS: dict[str, type[pl.DataType]] = {
    "hypothesis": pl.String,
    "f": pl.Float64,
    "df1": pl.Float64,
    "df2": pl.Float64,
    "p": pl.Float64,
}
_ADJUSTED: dict[str, type[pl.DataType]] = {
    "analysis": pl.String,
    "readers": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
}


class PeriodEffects(NamedTuple):
    """Results of least squares on each reader's metric in each period.

    Attributes:
        tests: ``hypothesis``, ``f``, ``df1``, ``df2``, ``p``; null where it cannot be tested, as
            carry-over in a study of two periods.
        adjusted: The contrast, ``analysis``, ``readers``, ``value``, ``low``, ``high``, ``p``: for
            arms alone, with periods, and with periods and carry-over.
    """

    tests: pl.DataFrame
    adjusted: pl.DataFrame


def period_effects(
    arrays: ReadingArrays, metric: str, contrast: tuple[str, str], *, level: float
) -> PeriodEffects:
    """Test effects of the period and of the arm before it (first-order carry-over).

    Least squares of the metric of each reader and arm on reader, arm, period and the arm of the
    period before (Jones and Kenward 2014, Design and analysis of cross-over trials, 3rd edition,
    chapters 1 and 5). Cases are taken as fixed, so that intervals are narrower than those of the
    analysis of variance over readers and cases.

    Args:
        arrays: Readers who read all cases in all arms, one arm in each period.
        metric: Among `METRICS`.
        contrast: The reference arm, and the arm compared with it.
        level: Coverage of intervals.
    """
    values = jackknife_scores(arrays, metric).values
    arms, readers = values.shape
    numbers = arrays.numbers("period")
    period = numbers[:, :, 0].astype(np.int64) - 1
    before = np.full((arms, readers), arms)  # of the first period: none
    for person in range(readers):
        order = np.argsort(period[:, person])
        before[order[1:], person] = order[:-1]
    arm, reader = np.indices((arms, readers))
    of_reader, of_arm = _columns(reader, readers), _columns(arm, arms)
    of_period = _columns(period, int(period.max()) + 1)
    carried = _columns(before, arms + 1)[:, :arms]
    models = {
        "arms alone": np.hstack([of_arm, of_reader]),
        "with periods": np.hstack([of_arm, of_reader, of_period]),
        "with periods and carry-over": np.hstack([of_arm, of_reader, of_period, carried]),
    }
    wanted = np.zeros(arms)
    wanted[[arrays.arms.index(name) for name in contrast]] = -1, 1
    outcome = values.ravel()
    fits = [_fit(design, outcome) for design in models.values()]
    rows = [
        {"analysis": name, "readers": readers, **_estimate(design, fit, wanted, level)}
        for (name, design), fit in zip(models.items(), fits, strict=True)
    ]
    tests = [
        {"hypothesis": NO_PERIOD, **_test(fits[0], fits[1])},
        {"hypothesis": NO_CARRY_OVER, **_test(fits[1], fits[2])},
    ]
    return PeriodEffects(table(tests, _TESTS), table(rows, _ADJUSTED))


class _Fit(NamedTuple):
    """Least squares: coefficients, residual sum of squares, and its degrees of freedom."""

    coefficients: Floats
    residual: float
    df: int


def _columns(levels: NDArray[np.int64], count: int) -> Floats:
    return np.eye(count)[levels.ravel()]


def _fit(design: Floats, outcome: Floats) -> _Fit:
    found, _, rank, _ = np.linalg.lstsq(design, outcome, rcond=1e-9)
    coefficients = found.astype(np.float64)
    residual = float(((outcome - design @ coefficients) ** 2).sum())
    return _Fit(coefficients, residual, len(outcome) - int(rank))


def _test(smaller: _Fit, larger: _Fit) -> dict[str, float | None]:
    df = smaller.df - larger.df
    if df < 1 or larger.df < 1 or larger.residual < TINY:
        return {"f": None, "df1": None, "df2": None, "p": None}
    f = (smaller.residual - larger.residual) / df / (larger.residual / larger.df)
    p = float(f_distribution.sf(f, df, larger.df))
    return {"f": f, "df1": df, "df2": larger.df, "p": p}


def _estimate(design: Floats, fit: _Fit, arms: Floats, level: float) -> dict[str, float | None]:
    """A contrast of arms with its interval; None if the design cannot tell it from other terms."""
    wanted = np.concatenate([arms, np.zeros(design.shape[1] - len(arms))])
    inverse = np.linalg.pinv(design, rcond=1e-9)
    if not np.allclose(wanted @ inverse @ design, wanted, atol=1e-6) or fit.df < 1:
        return {"value": None, "low": None, "high": None, "p": None}
    value = float(wanted @ fit.coefficients)
    error = float(np.linalg.norm(wanted @ inverse) * np.sqrt(fit.residual / fit.df))
    if error**2 < TINY:
        return {"value": value, "low": None, "high": None, "p": None}
    reach = float(student.ppf((1 + level) / 2, fit.df)) * error
    p = float(2 * student.sf(abs(value) / error, fit.df))
    return {"value": value, "low": value - reach, "high": value + reach, "p": p}
