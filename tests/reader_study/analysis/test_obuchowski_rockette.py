"""The analysis of variance against published results, naive loops and simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tests.reader_study.analysis.published_ratings import franken, van_dyke
from tests.reader_study.analysis.reference_variance import analysis, area, recall_mean
from tests.reader_study.analysis.simulated import arrays_of, simulate
from vitatt.evaluation.bootstrap import auroc
from vitatt.reader_study.analysis.obuchowski_rockette import (
    analyse_variance,
    jackknife_covariance,
)
from vitatt.reader_study.analysis.scores import Scores, jackknife_scores
from vitatt.types import UsageError


def areas(ratings, positive):
    """Areas under the ROC curves of ratings (A, R, N), with and without each case."""
    count = len(positive)
    weights = np.concatenate([np.ones((1, count)), 1 - np.eye(count)])
    negative = (~positive).astype(np.int64)
    found = [
        [auroc(of_reader[:, None], negative, weights, label=0) for of_reader in arm]
        for arm in ratings
    ]
    found = np.moveaxis(np.array(found), 2, 0)
    return Scores(found[0], found[1:], np.zeros(count, dtype=int))


def test_van_dyke_as_published():
    """OR-DBM MRMC 2.51 of the University of Iowa, trapezoidal areas, jackknife covariances.

    Its output is `inst/IowaResults/VanDyke_trap_area_jackknife_anova.txt` of RJafroc; more digits
    are printed in the chapter "Illustrations of the OR method" of RJafroc's documentation.
    """
    found = analyse_variance(areas(*van_dyke()))
    published = {
        "ms_arm": 0.00479617053,
        "ms_reader": 0.00383619999,
        "ms_arm_reader": 0.00055103062,
        "variance": 0.00080228827,
        "cov1": 0.00034661371,
        "cov2": 0.00034407483,
        "cov3": 0.00023902837,
        "f": 4.4563187,
        "p": 0.051665686,
    }
    for name, value in published.items():
        assert getattr(found, name) == pytest.approx(value, rel=3e-8, abs=5e-12), name
    assert found.df == (1, pytest.approx(15.259675, abs=5e-7))
    difference = found.differences[0, 1]  # here the second arm minus the first
    assert difference.value == pytest.approx(0.043800322, abs=5e-10)
    assert difference.error == pytest.approx(0.020748618, abs=5e-10)
    assert difference.low == pytest.approx(-0.00035885444, abs=5e-12)
    assert difference.high == pytest.approx(0.087959499, abs=5e-10)
    assert difference.p == pytest.approx(0.051665686, abs=5e-10)
    assert found.arms_df == pytest.approx((12.744648, 12.710190), abs=5e-7)
    for arm, expected in zip(
        found.arms,
        [
            (0.89703704, 0.033173597, 0.82522360, 0.96885048),
            (0.94083736, 0.021566368, 0.89413783, 0.98753689),
        ],
        strict=True,
    ):
        assert arm[:4] == pytest.approx(expected, abs=6e-9)


def test_franken_as_published():
    """Cov2 is below Cov3 here, so that their difference counts as 0.

    Printed in the chapter "OR analysis text output" of RJafroc's documentation.
    """
    found = analyse_variance(areas(*franken()))
    published = {
        "ms_arm": 2.3565410e-04,
        "ms_reader": 6.8406000e-04,
        "ms_arm_reader": 5.0202641e-05,
        "variance": 1.5257762e-03,
        "cov1": 7.9168215e-04,
        "cov2": 4.8363767e-04,
        "cov3": 5.1250915e-04,
        "f": 4.6940577,
        "p": 0.11883786,
    }
    for name, value in published.items():
        assert getattr(found, name) == pytest.approx(value, rel=5e-8), name
    assert found.df == (1, pytest.approx(3, abs=1e-12))
    difference = found.differences[0, 1]
    assert difference[:4] == pytest.approx(
        (-0.010854817, 0.0050101218, -0.026799261, 0.0050896269), abs=6e-10
    )
    assert found.arms_df == pytest.approx((70.121788, 253.644028), abs=6e-7)
    assert found.arms[0][:4] == pytest.approx(
        (0.84774989, 0.024402152, 0.79908282, 0.89641696), abs=6e-9
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arms", [2, 3])
def test_random_areas_against_loops(seed, arms):
    rng = np.random.default_rng(seed)
    positive = np.arange(14) < 6
    ratings = np.round(rng.normal(size=(arms, 3, 14)) + positive, 1)  # rounded, for ties
    found = analyse_variance(areas(ratings, positive))
    expected = analysis(
        lambda scores, out: area(scores, positive, out), ratings.tolist(), list(range(14))
    )
    _compare(found, expected)


@pytest.mark.parametrize("cases_per_group", [1, 2])
def test_balanced_accuracy_of_groups_against_loops(cases_per_group):
    readings = simulate(
        np.random.default_rng(5), readers=4, cases=16, cases_per_group=cases_per_group
    )
    arrays = arrays_of(readings)
    found = analyse_variance(jackknife_scores(arrays, "balanced accuracy"))
    right, truth, group = (x.tolist() for x in (arrays.correct(), arrays.truth, arrays.group))
    kinds = {name: {t for t, of in zip(truth, group, strict=True) if of == name} for name in group}
    # Groups of cases of several classes have no class that could be kept fixed.
    pure = all(len(classes) == 1 for classes in kinds.values())
    assert pure == (cases_per_group == 1)
    strata = {name: min(classes) for name, classes in kinds.items()} if pure else None
    expected = analysis(lambda one, out: recall_mean(one, truth, out), right, group, strata)
    _compare(found, expected)


def test_the_variance_of_a_mean_over_classes_is_that_of_its_parts():
    """Without strata it would be n / (n - 1) times as large, with n cases of a class."""
    rng = np.random.default_rng(3)
    right = rng.random((2, 3, 12)) < 0.6
    truth = np.arange(12) % 3
    recalls = [right[:, :, truth == label].mean(2) for label in range(3)]
    one = right[0, 0]
    own = [one[truth == label].astype(float) for label in range(3)]
    expected = sum(part.var(ddof=1) / len(part) for part in own) / 9
    left = 1 - np.eye(12)
    without = np.stack(
        [
            np.mean([np.average(one[truth == k], weights=w[truth == k]) for k in range(3)])
            for w in left
        ]
    )
    found = jackknife_covariance(without[:, None], truth)
    assert found[0, 0] == pytest.approx(expected)
    assert np.mean(recalls, axis=0)[0, 0] == pytest.approx(np.mean([part.mean() for part in own]))


def test_a_constant_metric_has_no_test():
    scores = Scores(np.full((2, 4), 0.5), np.full((10, 2, 4), 0.5), np.zeros(10, dtype=int))
    found = analyse_variance(scores)
    assert np.isnan([found.f, found.p, found.differences[0, 1].p, found.arms[0].low]).all()
    assert found.differences[0, 1].value == 0


@pytest.mark.parametrize("shape", [(1, 4), (2, 1)])
def test_one_arm_or_reader_is_refused(shape):
    scores = Scores(np.full(shape, 0.5), np.full((10, *shape), 0.5), np.zeros(10, dtype=int))
    with pytest.raises(UsageError, match="at least 2 arms and 2 readers") as error:
        analyse_variance(scores)
    assert f"{shape[0]} and {shape[1]}" in str(error.value)


def test_size_and_coverage_on_scores():
    _check_scores(studies=120, low=0.89, high=1.0, size=0.11)


@pytest.mark.slow
def test_size_and_coverage_on_many_scores():
    _check_scores(studies=2000, low=0.93, high=0.97, size=0.07, least_size=0.03)


def _check_scores(studies, low, high, size, least_size=0.0):
    """Studies of Roe and Metz 1997 with 2 arms: with equal areas, and with different ones."""
    for seed, (readers, cases) in enumerate([(5, 50), (10, 100)]):
        for gap in (0.0, 0.5):
            rng = np.random.default_rng(seed)
            covered = rejected = 0
            for _ in range(studies):
                ratings, positive, true = roe_metz(rng, readers, cases, (1.0, 1.0 + gap))
                found = analyse_variance(areas(ratings, positive)).differences[0, 1]
                covered += found.low <= true <= found.high
                rejected += found.p < 0.05
            print(f"readers {readers} cases {cases} gap {gap}: coverage {covered / studies:.3f}, "
                  f"rejected {rejected / studies:.3f}")  # fmt: skip
            assert low <= covered / studies <= high
            if not gap:
                assert least_size <= rejected / studies <= size


def roe_metz(rng, readers, cases, shifts, reader=0.011**0.5, reader_arm=0.03**0.5):
    """Ratings (2, R, N) of as many normal as abnormal cases, and the true difference of areas.

    Normal scores with all interactions, separately for normal and abnormal cases (Roe and Metz
    1997, Academic Radiology 4, 298-303). The variances over cases sum to 1.
    """
    positive = np.arange(cases) < cases // 2
    ratings = np.zeros((2, readers, cases))
    for state in (positive, ~positive):
        own = int(state.sum())
        ratings[:, :, state] = (
            reader * rng.normal(size=(1, readers, 1))
            + reader_arm * rng.normal(size=(2, readers, 1))
            + 0.3**0.5 * rng.normal(size=(1, 1, own))
            + 0.3**0.5 * rng.normal(size=(2, 1, own))
            + 0.2**0.5 * rng.normal(size=(1, readers, own))
            + 0.2**0.5 * rng.normal(size=(2, readers, own))
        )
    ratings[:, :, positive] += np.array(shifts)[:, None, None]
    spread = np.sqrt(2 + 2 * (reader**2 + reader_arm**2))
    return ratings, positive, norm.cdf(shifts[1] / spread) - norm.cdf(shifts[0] / spread)


def _compare(found, expected):
    for name in ("ms_arm", "ms_reader", "ms_arm_reader", "variance", "cov1", "cov2", "cov3"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=1e-10), name
    assert found.f == pytest.approx(expected["f"], rel=1e-8)
    assert found.df[1] == pytest.approx(expected["df2"], rel=1e-8)
    assert found.p == pytest.approx(expected["p"], abs=1e-8)
    for of_pair in found.differences.values():
        assert of_pair.error == pytest.approx(expected["error_of_difference"], abs=1e-10)
    assert [arm.value for arm in found.arms] == pytest.approx(expected["arms"], abs=1e-10)
    errors = [arm.error for arm in found.arms]
    assert errors == pytest.approx(expected["error_of_arm"], abs=1e-10)
