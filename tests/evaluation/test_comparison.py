"""Tests of differences against scipy, hand calculations and simulated accidents."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_rel

from tests.evaluation.predictions import CLASSES, make_predictions
from vitatt.evaluation.bootstrap import Floats, group_bootstrap
from vitatt.evaluation.comparison import compare_arms, corrected_resampled_t_test, holm
from vitatt.evaluation.metrics import COMPARED
from vitatt.evaluation.out_of_fold import arrays, average_seeds, score_folds
from vitatt.types import UsageError

FRAME = make_predictions({"image": 0.3, "fusion": 1.5, "twin": 1.5})


def naive_holm(values):
    """Hypothesis by hypothesis: the largest product up to its own place."""
    adjusted = []
    for own in values:
        steps = []
        for place, other in enumerate(sorted(values)):
            if other <= own:
                steps.append((len(values) - place) * other)
        adjusted.append(min(1, max(steps)))
    return adjusted


def test_t_by_hand():
    """Differences 1, 2, 3: mean 2, variance 1, so t = 2 / sqrt(1/3 + 1/4) with 2 degrees."""
    expected = 2 * student.sf(2 / np.sqrt(7 / 12), 2)
    assert corrected_resampled_t_test([1, 2, 3], 1 / 4) == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(1 - 2.6186 / np.sqrt(2 + 2.6186**2), abs=1e-4)
    assert corrected_resampled_t_test([-1, -2, -3], 1 / 4) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_without_overlap_it_is_the_paired_t_test(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, 15))
    p = corrected_resampled_t_test(one - other, 0)
    assert p == pytest.approx(ttest_rel(one, other).pvalue, abs=1e-12)
    assert corrected_resampled_t_test(one - other, 0.25) > p


def test_no_difference_and_too_few():
    assert corrected_resampled_t_test([0, 0, 0], 0.25) == 1
    assert corrected_resampled_t_test([0.5, 0.5, 0.5], 0.25) == 0
    assert np.isnan(corrected_resampled_t_test([0.1], 0.25))
    assert np.isnan(corrected_resampled_t_test([0.1, float("nan")], 0.25))


@pytest.mark.parametrize("seed", range(5))
def test_holm_against_loops(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(12) ** 4, 2)  # rounded, for ties
    np.testing.assert_allclose(holm(p), naive_holm(p), atol=1e-12)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.04, np.nan, 0.02]), [0.04, np.nan, 0.04])
    assert len(holm([])) == 0


def test_a_false_alarm_among_equal_arms_is_rare():
    """With Holm, one of ten equal arms seems different in 5 % of comparisons at most."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        p = [corrected_resampled_t_test(rng.normal(size=15), 0) for _ in range(10)]
        alarms += holm(p).min() < 0.05
    assert 0.02 < alarms / 400 < 0.08


def test_the_table_agrees_with_a_plain_way_to_it():
    table = compare_arms(FRAME, CLASSES, "image")
    assert table.select("metric", "arm").rows() == [
        (metric, arm) for metric in COMPARED for arm in ("fusion", "twin")
    ]
    for metric, statistic in COMPARED.items():
        part = table.filter(metric=metric)
        assert part["p_holm"].to_list() == pytest.approx(naive_holm(part["p"].to_list()), abs=1e-12)
        for row in part.iter_rows(named=True):
            pair = [average_seeds(FRAME.filter(arm=arm)) for arm in (row["arm"], "image")]
            (one, targets, groups), (other, _, _) = (arrays(frame, CLASSES) for frame in pair)

            def apart(probabilities: Floats, truth, weights, statistic=statistic) -> Floats:
                halves = np.split(probabilities, 2, axis=1)
                return statistic(halves[0], truth, weights) - statistic(halves[1], truth, weights)

            interval = group_bootstrap(apart, np.hstack([one, other]), targets, groups)
            found = (row["difference"], row["low"], row["high"])
            assert found == pytest.approx(interval, abs=1e-12)
            scores = {
                (r["arm"], r["fold"], r["seed"]): r[metric]
                for r in score_folds(FRAME, CLASSES, {metric: statistic}).iter_rows(named=True)
            }
            differences = [
                np.mean(
                    [
                        scores[row["arm"], fold, seed] - scores["image", fold, seed]
                        for seed in range(2)
                    ]
                )
                for fold in range(3)
            ]
            # Three folds: a third tests, two thirds train.
            p = corrected_resampled_t_test(differences, 1 / 2)
            assert row["p"] == pytest.approx(p, abs=1e-12)
            assert row["pairs"] == 3


def test_an_arm_that_is_the_reference_does_not_differ():
    same = FRAME.filter(arm="image").with_columns(arm=pl.lit("copy"))
    table = compare_arms(pl.concat([FRAME.filter(arm="image"), same]), CLASSES, "image")
    for row in table.iter_rows(named=True):
        assert [row[k] for k in ("difference", "low", "high", "p", "p_holm")] == [0, 0, 0, 1, 1]


def test_a_fold_in_which_the_metric_is_undefined_is_no_pair():
    """One fold has a single class: no area there."""
    frame = FRAME.filter((pl.col("fold") > 0) | (pl.col("true") == "MEL"))
    table = compare_arms(frame, CLASSES, "image")
    pairs = dict(table.select("metric", "pairs").unique().rows())
    assert pairs == {"balanced accuracy": 3, "macro AUROC": 2}


def test_one_arm_alone_is_an_empty_table():
    table = compare_arms(FRAME.filter(arm="image"), CLASSES, "image")
    assert table.height == 0
    assert table.columns[:3] == ["metric", "arm", "reference"]


def test_an_unknown_reference_is_named():
    with pytest.raises(UsageError, match="one of image, fusion, twin, but got 'best'"):
        compare_arms(FRAME, CLASSES, "best")
