"""The command `vitatt summarise`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from vitatt.evaluation.summary import summarise as summary_of
from vitatt.studies.pooled_runs import FIXED, check_diagnoses, matching, pool_runs, positive_class
from vitatt.words import as_list


def summarise(
    runs: Sequence[str] | str, *, average: bool = False, against: Sequence[str] | str = ()
) -> int:
    """Print the metrics of several test runs pooled, each with its interval.

    Args:
        runs: Folders of test runs (or their predictions.parquet), of different folds.
        average: Average the probabilities of cases that several runs predicted (other inner folds
            or seeds of the same outer fold).
        against: Test runs of another network on the same cases: the differences to it, paired.

    Returns:
        0.

    Raises:
        UsageError: If predictions cannot be read, or those of several runs do not belong together.
    """
    frame = _pooled(runs, average=average)
    scores = [name for name in frame.columns if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in scores]
    check_diagnoses(frame, classes)
    features = [name for name in frame.columns if name not in (*FIXED, *scores)]
    positive = positive_class(as_list(runs), classes)
    print(f"{frame.height} cases of {frame['group'].n_unique()} groups")
    print("\n".join(summary_of(frame, classes, features, positive=positive).lines()))
    if len(classes) == 2 and positive is None:
        print(
            "note: not every run has a config.yaml that names the positive one of the two classes, "
            "so that metrics of its detection are left out."
        )
    if against:
        other = matching(frame, _pooled(against, average=average))
        print(f"Less the same metrics of the other {len(as_list(against))} runs")
        print("\n".join(summary_of(frame, classes, features, other, positive=positive).lines()))
    return 0


def _pooled(runs: Sequence[str] | str, *, average: bool) -> pl.DataFrame:
    pooled = pool_runs(as_list(runs), average=average)
    if average:
        print(f"Averaging {pooled.repeats} predictions of each case.")
    return pooled.frame
