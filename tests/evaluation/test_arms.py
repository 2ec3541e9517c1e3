"""The table of arms: which rows it has, and each number against a plain way to it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from tests.evaluation.predictions import CLASSES, make_predictions
from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.bootstrap import balanced_accuracy, group_bootstrap, macro_auroc
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.types import PositiveClass

FRAME = make_predictions()
MELANOMA = PositiveClass("MEL", "melanoma")
P = [f"p_{name}" for name in CLASSES]
ROWS = {
    (row["arm"], row["cases"], row["metric"]): row
    for row in score_arms(FRAME, CLASSES, ["age", "sex"], MELANOMA).iter_rows(named=True)
}


def numbers(frame: pl.DataFrame):
    targets = np.array([CLASSES.index(name) for name in frame["true"]])
    return frame.select(P).to_numpy(), targets


def test_every_arm_has_every_metric_on_both_sets_of_cases():
    per_class = [f"{k}/{c}" for k in ("AUROC", "sensitivity", "specificity") for c in CLASSES]
    calibration = ["Brier", "calibration error", "Brier, tempered", "calibration error, tempered"]
    metrics = ["balanced accuracy", "macro AUROC", *per_class]
    metrics += ["melanoma sensitivity at 90 % specificity", *calibration]
    expected = [
        (a, c, f) for a in ("image", "fusion") for c in ("all", "complete") for f in metrics
    ]
    assert list(ROWS) == expected
    for row in ROWS.values():
        assert row["low"] <= row["value"] <= row["high"] or "calibration" in row["metric"]
        assert row["low"] < row["high"]
        assert row["single_low"] <= row["single"] <= row["single_high"]


@pytest.mark.parametrize("cases", ["all", "complete"])
def test_values_and_intervals_are_of_averaged_predictions(cases):
    averaged = average_seeds(FRAME.filter(arm="fusion"))
    if cases == "complete":
        averaged = averaged.filter(pl.col("age").is_not_null() & pl.col("sex").is_not_null())
    arguments = *numbers(averaged), averaged["group"].to_numpy()
    for name, statistic in {
        "balanced accuracy": balanced_accuracy,
        "macro AUROC": macro_auroc,
    }.items():
        row = ROWS["fusion", cases, name]
        interval = group_bootstrap(statistic, *arguments)
        assert (row["value"], row["low"], row["high"]) == pytest.approx(interval, abs=1e-12)
        assert row["n"] == averaged.height
        assert row["groups"] == averaged["group"].n_unique()


def test_single_metrics_are_of_each_seed():
    areas = []
    for seed in (0, 1):
        probabilities, targets = numbers(FRAME.filter(arm="image", seed=seed))
        areas.append(
            np.mean([roc_auc_score(targets == c, probabilities[:, c]) for c in range(len(CLASSES))])
        )
    row = ROWS["image", "all", "macro AUROC"]
    assert row["single"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert row["single_low"] == pytest.approx(min(areas), abs=1e-12)
    assert row["single_high"] == pytest.approx(max(areas), abs=1e-12)


def test_tempered_metrics_are_of_tempered_probabilities():
    frame = FRAME.filter(arm="fusion")
    powers = frame.select(P).to_numpy() ** (1 / frame["temperature"].to_numpy())[:, None]
    tempered = frame.with_columns(
        pl.Series(name, column)
        for name, column in zip(P, (powers / powers.sum(1, keepdims=True)).T, strict=True)
    )
    probabilities, targets = numbers(
        tempered.group_by("case_id").agg(pl.first("true"), pl.mean(*P))
    )
    score = ((probabilities - np.eye(len(CLASSES))[targets]) ** 2).sum(1).mean()
    assert ROWS["fusion", "all", "Brier, tempered"]["value"] == pytest.approx(score, abs=1e-12)


def test_the_order_of_rows_does_not_matter():
    again = score_arms(
        FRAME.sample(fraction=1, shuffle=True, seed=3), CLASSES, ["age", "sex"], None
    )
    for row in again.filter(pl.col("metric") == "balanced accuracy").iter_rows(named=True):
        before = ROWS[row["arm"], row["cases"], row["metric"]]
        assert list(row.values()) == pytest.approx(list(before.values()), abs=1e-12)


def test_complete_cases_are_left_out_where_they_are_all_or_none():
    for features in ([], ["true"]):
        table = score_arms(FRAME, CLASSES, features, None)
        assert set(table["cases"]) == {"all"}
    nowhere = FRAME.with_columns(age=pl.lit(None, pl.Float64))
    assert set(score_arms(nowhere, CLASSES, ["age"], None)["cases"]) == {"all"}


def test_undefined_metrics_are_null():
    without = FRAME.filter(pl.col("true") != "MEL").with_columns(temperature=pl.lit(None))
    table = score_arms(without, CLASSES, [], MELANOMA).filter(pl.col("value").is_null())
    assert set(table["metric"]) == {
        "AUROC/MEL",
        "sensitivity/MEL",
        "melanoma sensitivity at 90 % specificity",
        "Brier, tempered",
        "calibration error, tempered",
    }
    assert table.select("low", "high", "single", "single_low").null_count().row(0) == (10,) * 4
