"""Prediction of the diagnosis from some columns alone, for unseen groups, to find leaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from vitatt.data.splits import fold_numbers
from vitatt.types import DataError

_FOLDS = 5


def guess_diagnosis(cases: pl.DataFrame, tables: Sequence[pl.DataFrame]) -> list[float]:
    """Return the balanced accuracy of a decision tree on each table, by grouped cross-validation.

    The tree grows until its leaves are pure, with equal weights of the classes, so that it can fit
    any table of categories. A missing category is a category of its own, a missing number is NaN.

    Args:
        cases: N rows with ``group`` and ``diagnosis``.
        tables: Tables to predict the diagnosis from, each (N, K) strings, booleans or numbers.

    Raises:
        DataError: If there are fewer than 5 groups, or no class has 5 cases.
    """
    if (found := cases["group"].n_unique()) < _FOLDS:
        raise DataError(f"Expected at least {_FOLDS} groups to look for leaks, but got {found}.")
    diagnosis = cases["diagnosis"].to_numpy()
    fold = fold_numbers(cases["diagnosis"], cases["group"], _FOLDS, seed=0)
    metrics = []
    for table in tables:
        inputs, guessed = _numbers(table), diagnosis.copy()
        for number in range(_FOLDS):
            held_out = fold == number
            tree = DecisionTreeClassifier(class_weight="balanced", random_state=0)
            tree.fit(inputs[~held_out], diagnosis[~held_out])
            guessed[held_out] = tree.predict(inputs[held_out])
        metrics.append(float(balanced_accuracy_score(diagnosis, guessed)))
    return metrics


def _numbers(table: pl.DataFrame) -> NDArray[np.float64]:
    """Return categories as their rank in sorted order, 0 if missing, and numbers or NaN."""
    text = pl.col(pl.String).rank("dense").fill_null(0)
    numbers = table.with_columns(text).cast(pl.Float64)
    most = float(np.finfo(np.float32).max)  # in which the tree computes
    return numbers.fill_null(float("nan")).to_numpy().clip(-most, most)
