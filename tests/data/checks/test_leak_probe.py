"""Guessing against scikit-learn's own cross-validation, and on what must give 1 or chance."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from vitatt.data.checks.leak_probe import guess_diagnosis
from vitatt.data.splits import fold_numbers
from vitatt.types import DataError


def cases(seed: int, count: int = 240, per_group: int = 2) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    groups = count // per_group
    return pl.DataFrame(
        {
            "group": np.repeat([f"P{n}" for n in range(groups)], per_group),
            "diagnosis": np.repeat(
                rng.choice(["A", "B", "C"], groups, p=[0.6, 0.3, 0.1]), per_group
            ),
            "age": rng.normal(size=count),
        }
    )


def test_equals_cross_validation_by_scikit_learn() -> None:
    table = cases(0)
    fold = fold_numbers(table["diagnosis"], table["group"], 5, seed=0)
    tree = DecisionTreeClassifier(class_weight="balanced", random_state=0)
    inputs, diagnosis = table.select("age").to_numpy(), table["diagnosis"].to_numpy()
    guessed = cross_val_predict(tree, inputs, diagnosis, cv=PredefinedSplit(fold))
    expected = balanced_accuracy_score(diagnosis, guessed)
    assert guess_diagnosis(table, [table.select("age")]) == [pytest.approx(expected, abs=1e-12)]


def test_a_copy_reaches_one_by_text_number_or_gap() -> None:
    table = cases(0)
    copy = table.select(text=pl.col("diagnosis").replace({"C": None}), age="age")
    number = table.select(pl.col("diagnosis").replace_strict({"A": 2.5, "B": None, "C": -1.0}))
    gaps = table.select(a=pl.col("diagnosis") == "A", b=pl.col("diagnosis") == "B")
    assert guess_diagnosis(table, [copy.select("text"), number, gaps]) == [1, 1, 1]


def test_what_marks_the_group_alone_is_worth_nothing() -> None:
    """Held-out groups are new: whoever knows the patient knows nothing of another."""
    table = cases(1, per_group=4)
    (guess,) = guess_diagnosis(table, [table.select("group")])
    assert guess < 0.6


def test_needs_groups() -> None:
    with pytest.raises(DataError, match=r"at least 5 groups .* but got 4"):
        guess_diagnosis(cases(0, 8), [])
