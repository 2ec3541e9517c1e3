"""Predictions that no comparison can rest on are refused by name; averages against plain loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.evaluation.predictions import CLASSES, make_predictions
from vitatt.evaluation.metrics import COMPARED
from vitatt.evaluation.out_of_fold import arrays, average_seeds, check_out_of_fold, score_folds
from vitatt.types import UsageError

FRAME = make_predictions()
P = [f"p_{name}" for name in CLASSES]
ONE = (pl.col("arm") == "fusion") & (pl.col("seed") == 1) & (pl.col("case_id") == "img 0005")


def changed(column: str, value: object, where: pl.Expr = ONE) -> pl.DataFrame:
    value = pl.lit(value, dtype=FRAME.schema[column])
    return FRAME.with_columns(pl.when(where).then(value).otherwise(column).alias(column))


def test_honest_predictions_pass():
    check_out_of_fold(FRAME)
    check_out_of_fold(FRAME.sample(fraction=1, shuffle=True, seed=0))


def test_what_predictions_on_file_round_off_passes():
    check_out_of_fold(FRAME.with_columns(pl.col(P).cast(pl.Float32).cast(pl.Float64)))
    check_out_of_fold(FRAME.with_columns(pl.col(P).round(4)))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (FRAME.clear(), "got none"),
        (
            pl.concat([FRAME, FRAME.filter(ONE)]),
            "'img 0005' is there 2 times in the arm 'fusion', seed 1",
        ),
        (changed("fold", 1), r"'PAT_2' is in the folds \[1, 2\] of the arm 'fusion', seed 1"),
        (
            # A whole patient elsewhere is no leak, but the arms are not paired any more.
            changed("fold", 1, (pl.col("arm") == "fusion") & (pl.col("group") == "PAT_2")),
            r"split alike, but 'img 0004' is in the folds \[1, 2\] of seed 0",
        ),
        (FRAME.filter(~ONE), "'img 0005' is not there in the arm 'fusion', seed 1"),
        (
            FRAME.filter((pl.col("arm") != "image") | (pl.col("case_id") != "img 0007")),
            "'img 0007' is not there in the arm 'image', seed 0",
        ),
        (
            FRAME.filter((pl.col("arm") != "image") | (pl.col("seed") != 1) | (pl.col("fold") > 0)),
            "'img 0000' is not there in the arm 'image', seed 1",
        ),
        (
            changed("true", "MEL", pl.col("case_id").eq("img 0000") & pl.col("arm").eq("image")),
            "one value of 'true' for each case, but 'img 0000' has",
        ),
        (
            changed(
                "group", "PAT_900", pl.col("case_id").eq("img 0000") & pl.col("arm").eq("image")
            ),
            "one value of 'group' for each case, but 'img 0000' has",
        ),
        (changed("true", "UNK"), "among ACK, BCC, MEL, NEV, but the case 'img 0005' has 'UNK'"),
        (changed("true", None), "but the case 'img 0005' has 'None'"),
        (changed("p_MEL", 0.999), "of the case 'img 0005' in the arm 'fusion', seed 1, are not so"),
        (changed("p_MEL", float("nan")), "'img 0005' in the arm 'fusion', seed 1, .* sum to nan"),
        (changed("p_MEL", None), "'img 0005' in the arm 'fusion', seed 1, .* sum to nan"),
        (
            FRAME.with_columns(
                p_ACK=pl.when(ONE).then(-0.5).otherwise("p_ACK"),
                p_BCC=pl.when(ONE).then(1.5 - pl.col("p_MEL") - pl.col("p_NEV")).otherwise("p_BCC"),
            ),
            "probabilities from 0 on .* 'img 0005'",
        ),
    ],
)
def test_the_culprit_is_named(frame, words):
    with pytest.raises(UsageError, match=words):
        check_out_of_fold(frame)


def test_averages_are_those_of_a_loop():
    averaged = average_seeds(FRAME.sample(fraction=1, shuffle=True, seed=0).sort("arm"))
    assert averaged.height == 2 * 120
    assert averaged["arm"].unique(maintain_order=True).to_list() == ["fusion", "image"]
    assert not {"fold", "seed", "temperature"} & set(averaged.columns)
    for row in averaged.iter_rows(named=True):
        of_case = FRAME.filter(arm=row["arm"], case_id=row["case_id"])
        probabilities = of_case.select(P).to_numpy()
        powers = probabilities ** (1 / of_case["temperature"].to_numpy())[:, None]
        tempered = powers / powers.sum(1, keepdims=True)
        np.testing.assert_allclose([row[p] for p in P], probabilities.mean(0), atol=1e-12)
        q = [row[f"q_{name}"] for name in CLASSES]
        np.testing.assert_allclose(q, tempered.mean(0), atol=1e-12)
        for name in ("group", "true", "age", "sex", "fitspatrick"):
            assert row[name] == of_case[name][0]


def test_without_a_temperature_tempered_probabilities_are_undefined():
    averaged = average_seeds(FRAME.with_columns(temperature=pl.lit(None)))
    assert averaged["q_MEL"].is_nan().all()
    assert averaged["p_MEL"].is_finite().all()


def test_folds_are_scored_one_by_one():
    scores = score_folds(FRAME, CLASSES, COMPARED)
    assert scores.height == 2 * 3 * 2
    for row in scores.iter_rows(named=True):
        part = FRAME.filter(arm=row["arm"], fold=row["fold"], seed=row["seed"])
        assert row["n"] == part.height
        probabilities, targets, groups = arrays(part, CLASSES)
        assert groups.tolist() == part["group"].to_list()
        predicted = np.array(CLASSES)[probabilities.argmax(1)]
        truth = part["true"].to_numpy()
        assert np.array(CLASSES)[targets].tolist() == truth.tolist()
        recalls = [(predicted[truth == name] == name).mean() for name in CLASSES]
        assert row["balanced accuracy"] == pytest.approx(np.mean(recalls), abs=1e-12)
