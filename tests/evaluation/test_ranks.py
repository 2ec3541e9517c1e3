"""Ranks, the Friedman test and the critical difference against Demsar 2006 and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from scipy.stats import friedmanchisquare, rankdata

from tests.evaluation.predictions import CLASSES, make_predictions
from vitatt.evaluation.metrics import COMPARED
from vitatt.evaluation.out_of_fold import score_folds
from vitatt.evaluation.ranks import critical_difference, rank_arms, similar_runs
from vitatt.types import UsageError

ARMS = {"image": 0.3, "metadata": 0.5, "fusion": 1.5}

# Demsar 2006, table 5a: q of 2 to 10 classifiers.
Q = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}


@pytest.mark.parametrize("alpha", Q)
def test_critical_difference_of_demsar(alpha):
    for k, q in enumerate(Q[alpha], start=2):
        # The table is rounded.
        expected = q * np.sqrt(k * (k + 1) / (6 * 14))
        assert critical_difference(k, 14, alpha) == pytest.approx(expected, abs=1.1e-3)


def test_the_example_of_demsar():
    """Section 3.2.4: four classifiers on 14 datasets, CD 1.25 at 0.10."""
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.25, abs=0.2)
    assert critical_difference(4, 14, 0.10) == pytest.approx(2.291 * np.sqrt(20 / 84), abs=1e-3)


@pytest.mark.parametrize("metric", COMPARED)
def test_ranks_and_friedman_agree_with_scipy(metric):
    frame = make_predictions(ARMS, folds=5)
    table = rank_arms(frame, CLASSES, metric)
    scores = score_folds(frame, CLASSES, COMPARED)
    matrix = np.array(
        [
            [scores.filter(arm=arm, fold=fold)[metric].to_numpy().mean() for arm in ARMS]
            for fold in range(5)
        ]
    )
    expected = rankdata(-matrix, axis=1).mean(0)
    found = dict(table.select("arm", "mean_rank").rows())
    assert found == pytest.approx(dict(zip(ARMS, expected, strict=True)))
    assert table["mean_rank"].is_sorted()
    assert table["arm"][0] == "fusion"
    assert set(table["blocks"]) == {5}
    assert table["friedman_p"][0] == pytest.approx(friedmanchisquare(*matrix.T).pvalue, abs=1e-12)
    assert table["critical_difference"][0] == pytest.approx(2.343 * np.sqrt(12 / 30), abs=1e-3)


def test_equal_arms_share_their_rank():
    frame = make_predictions({"one": 1.0})
    same = [frame.with_columns(arm=pl.lit(arm)) for arm in ("one", "two", "three")]
    table = rank_arms(pl.concat(same), CLASSES, "macro AUROC")
    assert table["mean_rank"].to_list() == [2, 2, 2]
    assert table["friedman_p"].to_list() == [None] * 3


def test_two_arms_and_one():
    two = rank_arms(make_predictions(), CLASSES, "macro AUROC")
    assert two["arm"].to_list() == ["fusion", "image"]
    assert two["friedman_p"].null_count() == 2
    assert two["critical_difference"][0] == pytest.approx(1.960 * np.sqrt(1 / 3), abs=1e-3)
    one = rank_arms(make_predictions({"alone": 1.0}), CLASSES, "macro AUROC")
    assert one.select("mean_rank", "critical_difference").rows() == [(1, None)]


def test_other_metrics_are_refused():
    with pytest.raises(UsageError, match="among balanced accuracy, macro AUROC, but got 'Brier'"):
        rank_arms(make_predictions(), CLASSES, "Brier")


@pytest.mark.parametrize("seed", range(5))
def test_runs_join_exactly_the_pairs_that_are_similar_runs(seed):
    rng = np.random.default_rng(seed)
    ranks = np.sort(rng.uniform(1, 12, 12))
    runs = similar_runs(ranks, 2.5)
    for one, other in itertools.combinations(range(12), 2):
        joined = any(first <= one and other <= last for first, last in runs)
        assert joined == (ranks[other] - ranks[one] < 2.5)
    for one, other in itertools.permutations(runs, 2):
        assert not (other[0] <= one[0] and one[1] <= other[1])


def test_runs_of_extremes():
    assert similar_runs(np.array([1.0, 5.0, 9.0]), 2.0) == []
    assert similar_runs(np.array([1.0, 2.0, 3.0]), 9.0) == [(0, 2)]
    assert similar_runs(np.array([1.0, 3.0]), 2.0) == []  # the difference itself is significant
