"""Mean ranks of arms over folds, and runs of arms that do not differ significantly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from vitatt.evaluation.metrics import COMPARED
from vitatt.evaluation.out_of_fold import score_folds
from vitatt.types import UsageError


def rank_arms(predictions: pl.DataFrame, classes: Sequence[str], metric: str) -> pl.DataFrame:
    """Mean rank of each arm over the outer folds: 1 is best, ties share their mean rank.

    A block is one fold, its metric averaged over the seeds. Seeds of a fold share test cases and
    most training cases: counted as blocks they would overstate the sample size. The null hypothesis
    of the Friedman test is that all arms rank alike (Demsar 2006, section 3.2.2).

    Args:
        predictions: As `vitatt.evaluation.out_of_fold` has them.
        classes: Class names.
        metric: A name in `COMPARED`.

    Returns:
        One row for each arm, best first: ``metric``, ``arm``, ``mean_rank``, and the same in all
        rows ``blocks``, ``friedman_p`` (null with fewer than three arms or two blocks) and
        ``critical_difference`` at 0.05 (null with one arm).

    Raises:
        UsageError: If the metric is not one of `COMPARED`.
    """
    if metric not in COMPARED:
        raise UsageError(
            f"Expected a metric to rank by among {', '.join(COMPARED)}, but got '{metric}'."
        )
    trainings = score_folds(predictions, classes, {metric: COMPARED[metric]})
    blocks = (
        trainings.group_by("fold", "arm", maintain_order=True)
        .agg(pl.col(metric).mean())
        .pivot("arm", index="fold", values=metric)
        .drop("fold")
        .drop_nulls()
    )
    count, arms = blocks.shape
    scores = blocks.to_numpy()
    ranks = rankdata(-scores, axis=1).mean(0) if count else np.full(arms, np.nan)
    # If all arms tie in every fold, the test divides 0 by 0.
    testable = arms > 2 and count > 1 and bool(np.ptp(scores, axis=1).any())
    return (
        pl.DataFrame({"arm": blocks.columns, "mean_rank": ranks})
        .select(
            pl.lit(metric).alias("metric"),
            "arm",
            pl.col("mean_rank").fill_nan(None),
            pl.lit(count, pl.Int64).alias("blocks"),
            pl.lit(
                float(friedmanchisquare(*scores.T).pvalue) if testable else None, pl.Float64
            ).alias("friedman_p"),
            pl.lit(
                critical_difference(arms, count) if arms > 1 and count else None, pl.Float64
            ).alias("critical_difference"),
        )
        .sort("mean_rank", nulls_last=True, maintain_order=True)
    )


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Smallest significant difference of two mean ranks, by the Nemenyi test.

    q sqrt(k (k + 1) / (6 n)), with q the quantile of the studentised range divided by sqrt(2)
    (Demsar 2006, section 3.2.2, table 5a).

    Args:
        k: Number of arms, at least 2.
        n: Number of blocks.
        alpha: Family-wise error rate.
    """
    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def similar_runs(ranks: NDArray[np.float64], difference: float) -> list[tuple[int, int]]:
    """Longest runs of neighbouring arms whose mean ranks do not differ significantly.

    Args:
        ranks: Mean ranks in increasing order, (N,).
        difference: The critical difference.

    Returns:
        First and last position of each run of at least two.
    """
    last = np.searchsorted(ranks, ranks + difference, side="left") - 1
    return [
        (first, int(end))
        for first, end in enumerate(last)
        if end > first and (first == 0 or end > last[first - 1])
    ]
