"""Paired differences between arms: intervals, corrected t-test, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.stats import t

from vitatt.evaluation.bootstrap import Floats, Resampled, resample
from vitatt.evaluation.metrics import compared
from vitatt.evaluation.out_of_fold import arrays, average_seeds, score_folds
from vitatt.types import PositiveClass, UsageError


def compare_arms(
    predictions: pl.DataFrame,
    classes: Sequence[str],
    reference: str,
    positive: PositiveClass | None = None,
) -> pl.DataFrame:
    """Difference of each other arm to the reference, for each main metric.

    The interval resamples cases: seed-averaged predictions of both arms, paired in every resample
    of groups. The test compares folds: in each, the difference of single models, averaged over
    seeds. In its ratio of test to training cases, all cases outside the fold count as training
    cases, including the inner validation split.

    Args:
        predictions: As `vitatt.evaluation.out_of_fold` has them.
        classes: Class names.
        reference: The arm that others are compared with.
        positive: The class that is most harmful to miss, if it is known.

    Returns:
        One row for each metric and arm: ``metric``, ``arm``, ``reference``, ``difference`` with
        ``low`` and ``high`` of its 95 % interval, ``p`` of `corrected_resampled_t_test`, ``p_holm``
        after `holm` over the arms of the metric, and the number of ``pairs`` of folds. Null where
        undefined.

    Raises:
        UsageError: If `reference` is none of the arms.
    """
    arms = predictions["arm"].unique(maintain_order=True).to_list()
    if reference not in arms:
        raise UsageError(
            f"Expected the reference to be one of {', '.join(arms)}, but got '{reference}'."
        )
    statistics = compared(classes, positive)
    averaged = average_seeds(predictions)
    resampled = {
        arm: resample(statistics, *arrays(averaged.filter(arm=arm), classes)) for arm in arms
    }
    trainings = score_folds(predictions, classes, statistics)
    cases = averaged["case_id"].n_unique()
    tables = []
    for metric in statistics:
        rows = []
        for arm in arms:
            if arm == reference:
                continue
            one, other = resampled[arm][metric], resampled[reference][metric]
            apart = Resampled(one.value - other.value, one.values - other.values)
            value, low, high = apart.interval()
            pairs = _pairs(trainings, arm, reference, metric)
            tested = float(np.mean(pairs["n"].to_numpy())) if pairs.height else float("nan")
            p = corrected_resampled_t_test(pairs["difference"], tested / (cases - tested))
            row = {"metric": metric, "arm": arm, "reference": reference, "difference": value}
            rows.append(row | {"low": low, "high": high, "p": p, "pairs": pairs.height})
        adjusted = holm([row["p"] for row in rows])
        tables += [row | {"p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]
    return pl.DataFrame(tables, schema=_SCHEMA).fill_nan(None)


def corrected_resampled_t_test(differences: ArrayLike, test_to_train: float) -> float:
    """Two-sided p of a mean difference over splits whose training sets overlap.

    With J differences of mean m and variance s^2, t = m / sqrt((1/J + n_test/n_train) s^2) has
    J - 1 degrees of freedom. The plain t-test uses 1/J alone, as if the splits were independent
    (Nadeau and Bengio 2003, "Inference for the generalization error", equation 9; for repeated
    cross-validation Bouckaert and Frank 2004). Average repeats of one fold with different seeds
    first: as separate differences they would make p too small.

    Args:
        differences: One for each split, (J,).
        test_to_train: Number of test cases over that of training cases.

    Returns:
        p; NaN if there are fewer than two differences, 1 if all are 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or np.isnan(values).any():
        return float("nan")
    if not values.any():
        return 1.0
    deviation = np.sqrt((1 / len(values) + test_to_train) * values.var(ddof=1))
    with np.errstate(divide="ignore"):
        statistic = np.abs(values.mean()) / deviation
    return float(2 * t.sf(statistic, len(values) - 1))


def holm(p: ArrayLike) -> Floats:
    """P-values after Holm's step-down correction for multiple comparisons.

    The i-th smallest of m is multiplied by m - i + 1, and is at least as large as those before it
    (Holm 1979). An undefined p does not count towards m and stays NaN.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted: Floats = np.full(len(values), np.nan)
    adjusted[order] = np.maximum.accumulate(factors * values[order]).clip(max=1)
    return adjusted


_SCHEMA = {
    "metric": pl.String,
    "arm": pl.String,
    "reference": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "pairs": pl.Int64,
}


def _pairs(trainings: pl.DataFrame, arm: str, reference: str, metric: str) -> pl.DataFrame:
    """Folds in which the metric is defined for both arms: ``n``, mean ``difference``."""
    other = trainings.filter(arm=reference).select("fold", "seed", pl.col(metric).alias("other"))
    paired = trainings.filter(arm=arm).join(other, on=["fold", "seed"])
    apart = paired.with_columns((pl.col(metric) - pl.col("other")).alias("difference"))
    return (
        apart.drop_nulls("difference")
        .group_by("fold", maintain_order=True)
        .agg(pl.col("n", "difference").mean())
    )
