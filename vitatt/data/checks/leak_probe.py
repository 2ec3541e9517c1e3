"""How well some columns alone tell the diagnosis of groups that were not seen."""

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
    """Balanced accuracy of a decision tree on each table, by grouped cross-validation.

    The tree grows until its leaves are pure, classes weighing the same, so that it can follow any
    table of categories. A missing value is a category, or a number (NaN), of its own.

    Args:
        cases: Rows with ``group`` and ``diagnosis``, N of them.
        tables: What to guess from, each (N, K): strings, booleans or numbers.

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
    """Categories as their number in sorted order, 0 where missing; numbers as they are."""
    text = pl.col(pl.String).rank("dense").fill_null(0)
    numbers = table.with_columns(text).cast(pl.Float64)
    return numbers.fill_null(float("nan")).to_numpy()
