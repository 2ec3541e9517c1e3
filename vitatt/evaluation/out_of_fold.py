"""Out-of-fold predictions of several arms: checked, averaged over seeds, scored fold by fold.

A frame of them has one row for each arm, seed and case: ``arm``, ``fold``, ``seed``, ``case_id``,
``group``, ``true``, ``p_CLASS`` of each class, ``temperature``, and metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats, Statistic
from vitatt.evaluation.calibration import temper
from vitatt.types import UsageError, class_index

_TRAINING = ["arm", "seed"]


def check_out_of_fold(frame: pl.DataFrame) -> None:
    """Check that predictions allow an unbiased comparison.

    Each arm and seed must predict the same cases, each once, in the same folds, without a group in
    two folds; a case must have one diagnosis and one group, and probabilities must sum to 1.

    Args:
        frame: Predictions.

    Raises:
        UsageError: If not; the message names the first case, group or arm that is wrong.
    """
    if frame.is_empty():
        raise UsageError("Expected out-of-fold predictions, but got none.")
    _check_probabilities(frame)
    _refuse(
        frame.group_by(*_TRAINING, "case_id", maintain_order=True).len().filter(pl.col("len") > 1),
        "each case once in each arm and seed, but the case '{case_id}' is there {len} times in the "
        "arm '{arm}', seed {seed}",
    )
    _refuse(
        frame.group_by(*_TRAINING, "group", maintain_order=True)
        .agg(pl.col("fold").unique().sort())
        .filter(pl.col("fold").list.len() > 1),
        "each group in one fold, but '{group}' is in the folds {fold} of the arm '{arm}', seed "
        "{seed}: training has seen what the test asks",
    )
    for column in ("true", "group"):
        _refuse(
            frame.group_by("case_id", maintain_order=True)
            .agg(pl.col(column).unique().sort())
            .filter(pl.col(column).list.len() > 1),
            f"one value of '{column}' for each case, but '{{case_id}}' has {{{column}}}",
        )
    _refuse(
        frame.group_by("seed", "case_id", maintain_order=True)
        .agg(pl.col("fold").unique().sort())
        .filter(pl.col("fold").list.len() > 1),
        "all arms to be split alike, but '{case_id}' is in the folds {fold} of seed {seed}",
    )
    _check_coverage(frame)


def with_tempered(frame: pl.DataFrame) -> pl.DataFrame:
    """Predictions with ``q_CLASS``, the probabilities at each row's temperature, in addition."""
    names = [name for name in frame.columns if name.startswith("p_")]
    tempered = temper(frame.select(names).to_numpy(), frame["temperature"].cast(pl.Float64))
    columns = {f"q_{name.removeprefix('p_')}": tempered[:, n] for n, name in enumerate(names)}
    return frame.with_columns(**{name: pl.Series(column) for name, column in columns.items()})


def average_seeds(frame: pl.DataFrame) -> pl.DataFrame:
    """Mean predictions over seeds, one row for each arm and case, sorted by arm and case name.

    Args:
        frame: Predictions.

    Returns:
        Its columns without those of a single training (``fold``, ``seed``, ``temperature``);
        ``p_CLASS`` is the mean over seeds, and ``q_CLASS`` the mean of the tempered probabilities.
    """
    kept = frame.drop("fold", "seed").columns
    keys = ["arm", "case_id"]
    of_models = with_tempered(frame).sort("case_id", maintain_order=True)
    averaged = of_models.group_by(keys, maintain_order=True).agg(
        pl.col("^p_.*$", "^q_.*$").mean(), pl.exclude("^p_.*$", "^q_.*$", *keys).first()
    )
    order = frame.select(pl.col("arm").unique(maintain_order=True))
    tempered = [name for name in averaged.columns if name.startswith("q_")]
    return order.join(averaged, on="arm", maintain_order="left_right").select(
        *(name for name in kept if name != "temperature"), *tempered
    )


def score_folds(
    frame: pl.DataFrame, classes: Sequence[str], statistics: Mapping[str, Statistic]
) -> pl.DataFrame:
    """Metrics of each training on its own outer fold.

    Args:
        frame: Predictions.
        classes: Class names.
        statistics: By name.

    Returns:
        One row for each training: ``arm``, ``fold``, ``seed``, ``n`` cases, and one column for each
        metric, null where it is undefined.
    """
    rows = []
    for (arm, fold, seed), part in frame.group_by("arm", "fold", "seed", maintain_order=True):
        probabilities, targets, _ = arrays(part, classes)
        once = np.ones((1, part.height))
        scores = {
            name: float(statistic(probabilities, targets, once)[0])
            for name, statistic in statistics.items()
        }
        rows.append({"arm": arm, "fold": fold, "seed": seed, "n": part.height, **scores})
    return pl.DataFrame(rows).with_columns(pl.col(list(statistics)).fill_nan(None))


def arrays(
    frame: pl.DataFrame, classes: Sequence[str], *, prefixes: Sequence[str] = ("p_",)
) -> tuple[Floats, NDArray[np.int64], NDArray[Any]]:
    """Probabilities (N, C), side by side if there are several prefixes, targets and groups (N,)."""
    return (
        frame.select(f"{prefix}{name}" for prefix in prefixes for name in classes).to_numpy(),
        frame["true"].replace_strict(class_index(classes), return_dtype=pl.Int64).to_numpy(),
        frame["group"].to_numpy(),
    )


def _check_probabilities(frame: pl.DataFrame) -> None:
    names = [name for name in frame.columns if name.startswith("p_")]
    values = frame.select(pl.col(names).cast(pl.Float64)).fill_null(float("nan")).to_numpy()
    # A softmax in float32 sums to 1 within 1e-6, probabilities rounded for a CSV file within 1e-3.
    wrong = ~(np.isfinite(values).all(1) & (values >= 0).all(1))
    wrong |= ~(np.abs(values.sum(1) - 1) < 1e-3)
    _refuse(
        frame.with_columns(sum=pl.Series(values.sum(1))).filter(pl.Series(wrong)),
        "probabilities from 0 on that sum to 1, but those of the case '{case_id}' in the arm "
        "'{arm}', seed {seed}, are not so and sum to {sum:.4g}",
    )
    classes = [name.removeprefix("p_") for name in names]
    _refuse(
        frame.filter(~pl.col("true").is_in(classes).fill_null(False)),
        "diagnoses among " + ", ".join(classes) + ", but the case '{case_id}' has '{true}'",
    )


def _check_coverage(frame: pl.DataFrame) -> None:
    trainings = frame.select(_TRAINING).unique(maintain_order=True)
    count = frame.group_by("case_id", maintain_order=True).len()
    absent = count.filter(pl.col("len") < trainings.height).head(1).select("case_id")
    _refuse(
        trainings.join(absent, how="cross").join(frame, on=[*_TRAINING, "case_id"], how="anti"),
        "all arms and seeds to predict the same cases, but '{case_id}' is not there in the arm "
        "'{arm}', seed {seed}",
    )


def _refuse(culprits: pl.DataFrame, message: str) -> None:
    if not culprits.is_empty():
        raise UsageError(
            f"Expected {message.format(**culprits.row(0, named=True))}. "
            "Remove the predictions concerned and predict again."
        )
