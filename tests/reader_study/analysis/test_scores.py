"""Metrics of readers against scikit-learn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from tests.reader_study.analysis.simulated import ARMS, POSITIVE, arrays_of, simulate
from vitatt.reader_study.analysis.scores import METRICS, jackknife_scores
from vitatt.types import UsageError

READINGS = simulate(np.random.default_rng(0), readers=4, cases=24, cases_per_group=2)


def by_sklearn(metric, rows):
    truth, said = rows["truth"].to_list(), rows["diagnosis"].to_list()
    positive, called = ([name in POSITIVE for name in names] for names in (truth, said))
    return {
        "balanced accuracy": lambda: balanced_accuracy_score(truth, said),
        "sensitivity": lambda: recall_score(positive, called),
        "specificity": lambda: recall_score(positive, called, pos_label=False),
        "AUROC": lambda: roc_auc_score(positive, rows["score"].to_numpy()),
    }[metric]()


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_with_and_without_groups(metric):
    arrays = arrays_of(READINGS)
    found = jackknife_scores(arrays, metric)
    assert found.without.shape == (12, 3, 4)
    for number, arm in enumerate(ARMS):
        for place, reader in enumerate(arrays.readers):
            rows = READINGS.filter(arm=arm, reader=reader)
            assert found.values[number, place] == pytest.approx(by_sklearn(metric, rows))
            left = rows.filter(pl.col("group") != "g005")
            assert found.without[5, number, place] == pytest.approx(by_sklearn(metric, left))


def test_a_class_that_never_occurs_does_not_count():
    rows = READINGS.filter(pl.col("truth") != "SEK")
    found = jackknife_scores(arrays_of(rows), "balanced accuracy")
    three = by_sklearn_of_three(rows.filter(arm="ai", reader="R00"))
    assert found.values[1, 0] == pytest.approx(three)


def by_sklearn_of_three(rows):
    recalls = [
        (rows.filter(truth=name)["diagnosis"] == name).mean() for name in ("BCC", "MEL", "NEV")
    ]
    return sum(recalls) / 3


def test_ties_in_confidence_count_half():
    flat = READINGS.with_columns(score=pl.lit(50.0))
    assert (jackknife_scores(arrays_of(flat), "AUROC").values == 0.5).all()


def test_errors_name_the_class_and_the_remedy():
    one_group = READINGS.filter((pl.col("truth") != "MEL") | (pl.col("case_id") == "c001"))
    with pytest.raises(UsageError, match=r"balanced accuracy .* of the class MEL, but there are 1"):
        jackknife_scores(arrays_of(one_group), "balanced accuracy")
    negative = READINGS.filter(~pl.col("truth").is_in(POSITIVE))
    with pytest.raises(UsageError, match=r"sensitivity .* positive, but there are 0"):
        jackknife_scores(arrays_of(negative), "sensitivity")
    assert jackknife_scores(arrays_of(negative), "specificity").values.shape == (3, 4)
    with pytest.raises(UsageError, match=r"288 have none: leave AUROC out"):
        jackknife_scores(arrays_of(READINGS.with_columns(score=pl.lit(None, pl.Float64))), "AUROC")
