"""The predictions of all cells in one table, out-of-fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from vitatt.benchmark.plan import Benchmark, Cell
from vitatt.evaluation.calibration import fit_temperature
from vitatt.evaluation.intervals import balanced_accuracy, macro_auroc
from vitatt.evaluation.out_of_fold import check_out_of_fold


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
        ``temperature`` and the features.

    Raises:
        UsageError: If a patient or lesion is in two folds, or arms differ in their cases.
    """
    validation: dict[tuple[str, int], pl.DataFrame] = {}
    frames = []
    for name in benchmark.arms:
        if benchmark.arms[name].choose_from:
            continue
        for fold in range(benchmark.num_folds):
            cells = [Cell(benchmark, name, fold, seed) for seed in benchmark.seeds]
            inner = pl.concat(_read(cell, "val", classes) for cell in cells)
            validation[name, fold] = inner
            temperature = fit_temperature(*_arrays(inner, classes))
            frames += [
                _read(cell, "test", classes).with_columns(temperature=pl.lit(temperature))
                for cell in cells
            ]
    trained = pl.concat(frames)
    chosen = [
        trained.filter(arm=best, fold=fold).with_columns(arm=pl.lit(name))
        for name, arm in benchmark.arms.items()
        for fold, best in choose(arm.choose_from, benchmark.num_folds, validation, classes).items()
    ]
    order = pl.DataFrame({"arm": list(benchmark.arms)})
    pooled = order.join(pl.concat([trained, *chosen]), on="arm", maintain_order="left_right")
    check_out_of_fold(pooled)
    metadata = cases.select("case_id", *features)
    return pooled.join(metadata, on="case_id", how="left", maintain_order="left")


def choose(
    arms: Sequence[str],
    num_folds: int,
    validation: Mapping[tuple[str, int], pl.DataFrame],
    classes: Sequence[str],
) -> dict[int, str]:
    """For each outer fold the arm with the highest inner score; empty without arms.

    The score is the mean of balanced accuracy and macro AUROC over the inner validation predictions
    of all seeds: no case of the outer fold takes part in the choice.
    """
    if not arms:
        return {}

    def score(arm: str, fold: int) -> float:
        probabilities, targets = _arrays(validation[arm, fold], classes)
        ones = np.ones((1, len(targets)))
        return float(
            balanced_accuracy(probabilities, targets, ones)[0]
            + macro_auroc(probabilities, targets, ones)[0]
        )

    return {fold: max(arms, key=lambda arm: score(arm, fold)) for fold in range(num_folds)}


def _read(cell: Cell, part: str, classes: Sequence[str]) -> pl.DataFrame:
    frame = pl.read_parquet(cell.folder / f"{part}.parquet")
    return frame.select(
        pl.lit(cell.arm).alias("arm"),
        pl.lit(cell.fold, pl.Int64).alias("fold"),
        pl.lit(cell.seed, pl.Int64).alias("seed"),
        "case_id",
        "group",
        "true",
        *(f"p_{name}" for name in classes),
    )


def _arrays(
    frame: pl.DataFrame, classes: Sequence[str]
) -> tuple[
    np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    np.ndarray[tuple[int, ...], np.dtype[np.int64]],
]:
    index = {name: number for number, name in enumerate(classes)}
    return (
        frame.select(f"p_{name}" for name in classes).to_numpy(),
        frame["true"].replace_strict(index, return_dtype=pl.Int64).to_numpy(),
    )
