"""The predictions of all jobs in one table, out-of-fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from vitatt.benchmark.plan import Benchmark, Job
from vitatt.evaluation.bootstrap import balanced_accuracy, macro_auroc
from vitatt.evaluation.calibration import fit_temperature
from vitatt.evaluation.out_of_fold import arrays, check_out_of_fold
from vitatt.reading import read_parquet
from vitatt.types import UsageError


def pool(
    benchmark: Benchmark, cases: pl.DataFrame, classes: Sequence[str], features: Sequence[str]
) -> pl.DataFrame:
    """Out-of-fold predictions of all arms, with the metadata of every case.

    Each fold's temperature is fitted on the inner validation predictions of all its seeds.

    Args:
        benchmark: Finished.
        cases: All cases with ``case_id`` and the features.
        classes: Class names.
        features: Metadata columns, also those that an arm does not use.

    Returns:
        Columns ``arm``, ``fold``, ``seed``, ``case_id``, ``group``, ``true``, ``p_CLASS``,
        ``temperature``, ``trained`` (the arm, or those that it chose in this fold) and the
        features.

    Raises:
        UsageError: If a patient or lesion is in two folds, arms differ in their cases, or the
            predicted cases are not `cases`.
    """
    inner = {
        (name, fold, seed): _read(Job(benchmark, name, fold, seed), "val", classes)
        for name, arm in benchmark.arms.items()
        if not arm.choose_from
        for fold in range(benchmark.num_folds)
        for seed in benchmark.seeds
    }
    frames = []
    for name, arm in benchmark.arms.items():
        if name in benchmark.candidates:
            continue
        for fold in range(benchmark.num_folds):
            sources = [name]
            if arm.choose_from:
                sources = choose(arm.choose_from, arm.average, fold, inner, classes)
            tested, validated = [], []
            for seed in benchmark.seeds:
                jobs = [Job(benchmark, source, fold, seed) for source in sources]
                tested.append(_mean([_read(job, "test", classes) for job in jobs]))
                validated.append(_mean([inner[source, fold, seed] for source in sources]))
            temperature = fit_temperature(*arrays(pl.concat(validated), classes)[:2])
            frames.append(
                pl.concat(tested).with_columns(
                    arm=pl.lit(name),
                    temperature=pl.lit(temperature),
                    trained=pl.lit(", ".join(sources)),
                )
            )
    pooled = pl.concat(frames)
    check_out_of_fold(pooled)
    if (found := set(pooled["case_id"])) != (expected := set(cases["case_id"])):
        one = min(found ^ expected)
        raise UsageError(
            f"Expected predictions of the {len(expected)} cases under `data.root`, but {one} is "
            f"{'not among them' if one in found else 'not predicted'}: {benchmark.output} holds "
            "results of other data. Name another --output."
        )
    metadata = cases.select("case_id", *features)
    return pooled.join(metadata, on="case_id", how="left", maintain_order="left")


def choose(
    arms: Sequence[str],
    count: int,
    fold: int,
    inner: Mapping[tuple[str, int, int], pl.DataFrame],
    classes: Sequence[str],
) -> list[str]:
    """The arms with the highest inner scores in an outer fold, best first.

    The score is the mean of balanced accuracy and macro AUROC over the inner validation predictions
    of all seeds: no case of the outer fold takes part in the choice.

    Args:
        arms: To choose from.
        count: How many.
        fold: The outer fold.
        inner: Validation predictions by arm, fold and seed.
        classes: Class names.
    """

    def score(arm: str) -> float:
        predictions = [
            part for (name, where, _), part in inner.items() if (name, where) == (arm, fold)
        ]
        probabilities, targets, _ = arrays(pl.concat(predictions), classes)
        once = np.ones((1, len(targets)))
        return float(
            balanced_accuracy(probabilities, targets, once)[0]
            + macro_auroc(probabilities, targets, once)[0]
        )

    return sorted(arms, key=score, reverse=True)[:count]


def _mean(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Predictions of the same cases, their probabilities averaged."""
    first = frames[0]
    scores = [name for name in first.columns if name.startswith("p_")]
    if len(frames) == 1:
        return first
    others = [
        first.select("case_id").join(frame, on="case_id", how="left", maintain_order="left")
        for frame in frames
    ]
    total = np.mean([frame.select(scores).to_numpy() for frame in others], axis=0)
    return first.with_columns(pl.Series(name, total[:, n]) for n, name in enumerate(scores))


def _read(job: Job, part: str, classes: Sequence[str]) -> pl.DataFrame:
    scores = [f"p_{name}" for name in classes]
    path = job.folder / f"{part}.parquet"
    try:
        frame = read_parquet(path, ["case_id", "group", "true", *scores], scores)
    except UsageError as error:
        raise UsageError(
            f"{error} Remove {job.folder} and run the same command again: it is trained anew."
        ) from error
    return frame.select(
        pl.lit(job.arm).alias("arm"),
        pl.lit(job.fold, pl.Int64).alias("fold"),
        pl.lit(job.seed, pl.Int64).alias("seed"),
        "case_id",
        "group",
        "true",
        *scores,
    )
