"""Mean ranks of arms over folds, and which of them cannot be told apart."""

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
    """Mean rank of each arm over the outer folds, 1 being the best, ties sharing their ranks.

    A block is a fold, its metric averaged over the seeds: seeds of a fold share their test cases
    and most training cases, and counted as blocks they would feign more data than there is. The
    Friedman test asks whether any arm ranks differently at all (Demsar 2006, section 3.2.2).

    Args:
        predictions: As `vitatt.evaluation.out_of_fold` has them.
        classes: Class names.
        metric: A name in `COMPARED`.

    Returns:
        A row an arm, best first: ``metric``, ``arm``, ``mean_rank``, and the same in all rows
        ``blocks``, ``friedman_p`` (null with fewer than three arms or two blocks) and
        ``critical_difference`` at 0.05 (null with one arm).

    Raises:
        UsageError: If the metric is none to compare by.
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
    """Difference from which on two mean ranks differ, by the Nemenyi test.

    q sqrt(k (k + 1) / (6 n)), q from the studentised range over sqrt(2) (Demsar 2006, section
    3.2.2, table 5a).

    Args:
        k: Number of arms, at least 2.
        n: Number of blocks.
        alpha: Chance that any of equal arms seem to differ.
    """
    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def not_told_apart(ranks: NDArray[np.float64], difference: float) -> list[tuple[int, int]]:
    """Runs of arms, each less than the critical difference wide, that no other such run contains.

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
