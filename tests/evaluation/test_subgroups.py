"""Subgroups: bands, missing values, small ones, gaps; each metric against the whole way round."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score

from tests.evaluation.predictions import CLASSES, make_predictions
from vitatt.evaluation.bootstrap import balanced_accuracy, group_bootstrap
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.evaluation.subgroups import largest_gaps, score_subgroups

FRAME = average_seeds(make_predictions({"fusion": 1.0}, cases=400))
P = [f"p_{name}" for name in CLASSES]


def names(table: pl.DataFrame, attribute: str) -> list[str]:
    part = table.filter(attribute=attribute)
    return part["subgroup"].unique(maintain_order=True).to_list()


def test_metrics_agree_with_scikit_learn_and_the_bootstrap():
    table = score_subgroups(FRAME, CLASSES, ["sex", "fitspatrick"])
    assert names(table, "sex") == ["F", "M", "missing"]
    assert names(table, "fitspatrick") == ["1", "2", "3", "missing"]
    for name in ("F", "M", "missing"):
        value = None if name == "missing" else name
        part = FRAME.filter(pl.col("sex").eq_missing(pl.lit(value)))
        probabilities = part.select(P).to_numpy()
        targets = np.array([CLASSES.index(true) for true in part["true"]])
        row = table.row(
            by_predicate=(pl.col("attribute") == "sex")
            & (pl.col("subgroup") == name)
            & (pl.col("metric") == "balanced accuracy"),
            named=True,
        )
        score = balanced_accuracy_score(targets, probabilities.argmax(1))
        assert row["value"] == pytest.approx(score, abs=1e-12)
        interval = group_bootstrap(
            balanced_accuracy, probabilities, targets, part["group"].to_numpy()
        )
        assert (row["value"], row["low"], row["high"]) == pytest.approx(interval, abs=1e-12)
        assert (row["n"], row["groups"]) == (part.height, part["group"].n_unique())


def test_every_case_is_in_one_subgroup():
    table = score_subgroups(FRAME, CLASSES, ["age", "sex", "fitspatrick"])
    for _, part in table.group_by("attribute", "metric"):
        assert part["n"].sum() == FRAME.height


def test_ages_fall_into_bands():
    ages = [39.9, 40, 59, 59.9, 60, 79, 80, 95, None, float("nan")]
    frame = FRAME.head(len(ages)).with_columns(age=pl.Series(ages, dtype=pl.Float64))
    table = score_subgroups(frame, CLASSES, ["age"]).filter(metric="balanced accuracy")
    assert table.select("subgroup", "n").rows() == [
        ("<40", 1),
        ("40-59", 3),
        ("60-79", 2),
        ("80+", 2),
        ("missing", 2),
    ]
    assert table["small"].all()


def test_other_numbers_have_their_own_bands():
    frame = FRAME.with_columns(diameter=pl.Series(np.arange(FRAME.height) % 20, dtype=pl.Int64))
    table = score_subgroups(frame, CLASSES, ["diameter"], bands={"diameter": (5, 10)})
    assert names(table, "diameter") == ["<5", "5-9", "10+"]
    assert table["n"].to_list() == [100, 100, 100, 100, 200, 200]


def test_bands_with_edges_between_whole_numbers():
    frame = FRAME.with_columns(thickness=pl.Series(np.arange(FRAME.height) % 4 * 0.5))
    table = score_subgroups(frame, CLASSES, ["thickness"], bands={"thickness": (0.5, 1, 1.5)})
    assert names(table, "thickness") == ["<0.5", "0.5 to <1", "1 to <1.5", "1.5+"]
    assert set(table["n"]) == {100}


def test_small_subgroups_are_marked_and_shown():
    few = pl.int_range(pl.len())
    attribute = (
        pl.when(few < 29)
        .then(pl.lit("29 cases"))
        .when(few < 60)
        .then(pl.lit("31 cases"))
        .when(pl.col("true") == "MEL")
        .then(pl.lit("one class"))
        .otherwise(pl.lit("others"))
    )
    frame = FRAME.with_columns(site=attribute)
    table = score_subgroups(frame, CLASSES, ["site"])
    small = dict(table.select("subgroup", "small").unique().rows())
    assert small == {"29 cases": True, "31 cases": False, "one class": True, "others": False}
    one_class = table.filter(subgroup="one class")
    undefined = dict(one_class.select("metric", pl.col("value").is_null()).rows())
    assert undefined == {"balanced accuracy": False, "macro AUROC": True}


def test_the_gap_is_between_subgroups_that_are_not_small():
    rows = [
        ("skin", "I", 0.7, False),
        ("skin", "II", 0.5, False),
        ("skin", "III", 0.6, False),
        ("skin", "VI", 0.1, True),
        ("skin", "missing", 0.9, False),
        ("sex", "F", 0.7, False),
        ("sex", "M", 0.2, True),
        ("site", "arm", None, False),
        ("site", "leg", 0.4, False),
    ]
    table = pl.DataFrame(rows, schema=["attribute", "subgroup", "value", "small"], orient="row")
    gaps = largest_gaps(table.with_columns(metric=pl.lit("macro AUROC")))
    assert gaps.columns == ["attribute", "metric", "gap", "highest", "lowest"]
    assert gaps.drop("metric").rows() == [
        ("skin", pytest.approx(0.2), "I", "II"),
        ("sex", None, None, None),
        ("site", None, None, None),
    ]


def test_gaps_of_scored_subgroups():
    gaps = largest_gaps(score_subgroups(FRAME, CLASSES, ["sex", "age"]))
    assert gaps.height == 4
    assert gaps["gap"].min() > 0


def test_no_attribute_is_an_empty_table():
    table = score_subgroups(FRAME, CLASSES, [])
    assert table.height == 0
    assert largest_gaps(table).columns == ["attribute", "metric", "gap", "highest", "lowest"]
