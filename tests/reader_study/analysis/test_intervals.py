"""Intervals over readers and cases against hand calculations and simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from tests.reader_study.analysis.simulated import logistic_outcomes
from vitatt.reader_study.analysis.intervals import Variances, estimate
from vitatt.reader_study.analysis.reader_means import band_contrast
from vitatt.reader_study.analysis.resampling import (
    difference_of_ratios,
    ratio,
    sums_of,
    two_way_jackknife,
)
from vitatt.reader_study.analysis.scores import Scores


def one_stratum(values, without):
    return Scores(values, without, np.zeros(len(without), dtype=int))


def test_with_one_part_it_is_the_t_interval():
    for part in (Variances(0.04, 5, 0, 9), Variances(0, 3, 0.04, 5)):
        found = estimate(0.5, part)
        reach = 0.2 * student.ppf(0.975, 5)
        assert found[1:4] == pytest.approx((0.2, 0.5 - reach, 0.5 + reach), abs=1e-12)
        assert found.p == pytest.approx(2 * student.sf(2.5, 5), rel=1e-9)


def test_with_two_parts_the_quantile_is_their_mean():
    found = estimate(0.3, Variances(0.03, 4, 0.01, 20), level=0.9)
    quantile = 0.75 * student.ppf(0.95, 4) + 0.25 * student.ppf(0.95, 20)
    assert found.high == pytest.approx(0.3 + 0.2 * quantile, abs=1e-12)
    at_bound = estimate(0.2 * quantile, Variances(0.03, 4, 0.01, 20), level=0.9)
    assert at_bound.low == pytest.approx(0, abs=1e-12)
    assert at_bound.p == pytest.approx(0.1, abs=1e-9)


def test_a_share_has_its_interval_on_the_logit_scale():
    found = estimate(0.9, Variances(0.0009, 1e9, 0, 1), share=True)
    reach = 1.959964 * 0.03 / 0.09
    assert found.low == pytest.approx(expit(logit(0.9) - reach), abs=1e-7)
    assert found.high == pytest.approx(expit(logit(0.9) + reach), abs=1e-7)
    assert np.isnan(found.p)
    assert np.isnan(estimate(1.0, Variances(0.0009, 5, 0, 1), share=True).low)


def test_without_variance_there_is_no_interval():
    found = estimate(0.5, Variances(0, 5, 0, 9))
    assert found.value == 0.5
    assert np.isnan([found.low, found.high, found.p]).all()
    assert estimate(1e6, Variances(1, 5, 0, 9)).p < 1e-25
    assert estimate(1e200, Variances(1, 5, 0, 9)).p == 0


def test_readers_alone_give_the_t_test_of_their_means():
    """Without variance over cases, it is that of one sample of readers' means."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(7, 1)), 30, axis=1)
    found = two_way_jackknife(sums_of(values, np.arange(30)), ratio)
    reference = ttest_1samp(values.mean(1), 0)
    low, high = reference.confidence_interval(0.95)
    assert found[2:] == pytest.approx((low, high, reference.pvalue), rel=1e-9)


def test_pseudo_values_of_a_mean_are_its_readings():
    """So the variance is that of the two-way analysis of variance of readings, by loops."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 1)) + rng.normal(size=(1, 6)) + rng.normal(size=(4, 6))
    rows, columns, grand = values.mean(1), values.mean(0), values.mean()
    ms_reader = 6 * sum((row - grand) ** 2 for row in rows) / 3
    ms_case = 4 * sum((column - grand) ** 2 for column in columns) / 5
    ms_both = sum(
        (values[r, c] - rows[r] - columns[c] + grand) ** 2 for r in range(4) for c in range(6)
    ) / (3 * 5)
    found = two_way_jackknife(sums_of(values, np.arange(6)), ratio)
    expected = (ms_reader + max(ms_case - ms_both, 0)) / 24
    assert found.error == pytest.approx(np.sqrt(expected), rel=1e-10)


def test_groups_and_missing_readings():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(5, 12))
    grouped = two_way_jackknife(sums_of(values, np.arange(12) // 2), ratio)
    halves = two_way_jackknife(sums_of(values.reshape(5, 6, 2).mean(2), np.arange(6)), ratio)
    assert grouped == pytest.approx(halves, rel=1e-9)
    with_gaps = np.where(rng.random((5, 12)) < 0.2, np.nan, values)
    found = two_way_jackknife(sums_of(with_gaps, np.arange(12)), ratio)
    assert found.value == pytest.approx(np.nanmean(with_gaps))
    more = np.concatenate([values, np.full((1, 12), np.nan)])  # a reader who read nothing
    assert two_way_jackknife(sums_of(more, np.arange(12)), ratio) == pytest.approx(
        two_way_jackknife(sums_of(values, np.arange(12)), ratio)
    )


def test_one_reader_or_one_group_has_no_interval():
    values = np.random.default_rng(3).normal(size=(4, 6))
    for few, group in ((values[:1], np.arange(6)), (values, np.zeros(6, dtype=int))):
        found = two_way_jackknife(sums_of(few, group), ratio)
        assert found.value == pytest.approx(few.mean())
        assert np.isnan(found[1:]).all()


def test_a_difference_is_that_of_the_readings():
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(2, 5, 8))
    sums = np.concatenate([sums_of(of, np.arange(8)) for of in (one, other)], axis=-1)
    found = two_way_jackknife(sums, difference_of_ratios)
    assert found == pytest.approx(
        two_way_jackknife(sums_of(other - one, np.arange(8)), ratio), rel=1e-9
    )


def test_bands_cancel_what_all_readers_share():
    """A case effect that all readers have is none between bands."""
    rng = np.random.default_rng(5)
    band = np.array([0, 0, 0, 1, 1, 1])
    values = rng.normal(size=6)
    without = values + 0.05 * rng.normal(size=(20, 1))
    between = band_contrast(one_stratum(values, without), band, np.array([1.0, -1.0]))
    reference = values[:3].mean() - values[3:].mean()
    pooled = (values[:3].var(ddof=1) + values[3:].var(ddof=1)) / 2
    assert between.value == pytest.approx(reference)
    assert between.error == pytest.approx(np.sqrt(pooled * 2 / 3), rel=1e-6)
    alone = band_contrast(one_stratum(values, without), band, np.array([1.0, 0.0]))
    assert alone.error > np.sqrt(values[:3].var(ddof=1) / 3)


def test_bands_with_few_readers():
    values, without = np.arange(4.0), np.tile(np.arange(4.0), (10, 1))
    one_each = band_contrast(one_stratum(values, without), np.arange(4), np.array([1.0, -1, 0, 0]))
    assert one_each.value == -1
    assert np.isnan(one_each.low)
    empty = band_contrast(
        one_stratum(values, without), np.zeros(4, dtype=int), np.array([1.0, -1.0])
    )
    assert np.isnan(empty.value)
    single = band_contrast(
        one_stratum(values, without), np.array([0, 0, 0, 1]), np.array([1.0, -1.0])
    )
    assert single.value == pytest.approx(1 - 3)
    assert single.low < single.value < single.high


STUDIES = {
    "gain": lambda y, ai: (y[1] - y[0], np.ones_like(y[0])),
    "share right": lambda y, ai: (y[1], np.ones_like(y[0])),
    "became right": lambda y, ai: ((1 - y[0]) * ai * y[1], (1 - y[0]) * ai),
    "stayed right": lambda y, ai: (y[0] * (1 - ai) * y[1], y[0] * (1 - ai)),
}


def coverages(studies, readers, cases, deviations, large=10):
    """Coverage of each statistic of `STUDIES`, with AI right on 3 of 4 cases."""
    fixed = np.array([[0.5], [1.0]])

    def statistics(rng, readers, cases):
        outcome = logistic_outcomes(rng, np.tile(fixed, (1, readers)), cases, deviations)
        ai = (np.arange(cases) % 4 != 0).astype(float)
        return {name: statistic(outcome, ai) for name, statistic in STUDIES.items()}

    rng = np.random.default_rng(100)
    all_of_them = [statistics(rng, 200, 1000) for _ in range(large)]
    true = {
        name: sum(one[name][0].sum() for one in all_of_them)
        / sum(one[name][1].sum() for one in all_of_them)
        for name in STUDIES
    }
    rng = np.random.default_rng(0)
    covered = dict.fromkeys(STUDIES, 0)
    for _ in range(studies):
        for name, (counted, member) in statistics(rng, readers, cases).items():
            sums = np.stack([counted, member], axis=-1)
            found = two_way_jackknife(sums, ratio, share=name != "gain")
            covered[name] += found.low <= true[name] <= found.high
    return {name: count / studies for name, count in covered.items()}


def test_coverage_of_a_few_studies():
    for share in coverages(150, 8, 60, (0.3, 1.0, 0.2, 0.5)).values():
        assert 0.89 <= share <= 1


@pytest.mark.slow
@pytest.mark.parametrize("deviations", [(0.3, 1.0, 0.2, 0.5), (0.5, 1.0, 0.5, 0.8)])
@pytest.mark.parametrize(("readers", "cases"), [(6, 60), (10, 80), (20, 100), (40, 60)])
def test_coverage_of_many_studies(readers, cases, deviations):
    found = coverages(2000, readers, cases, deviations, large=60)
    print(readers, cases, deviations, {name: round(share, 3) for name, share in found.items()})
    for name, share in found.items():
        assert 0.93 <= share <= 0.975, name


@pytest.mark.slow
@pytest.mark.parametrize(("readers", "cases"), [(6, 60), (12, 60), (20, 100)])
def test_coverage_of_means_of_readers(readers, cases):
    """Of a share in an arm, of the gain of a band, and of the difference of two bands' gains."""
    band = np.arange(readers) % 2
    fixed = np.array([[0.3], [0.8]]) + np.array([[0.0], [0.5]]) * (band == 0)  # same without AI

    def shares(rng, fixed, cases):
        return logistic_outcomes(rng, fixed, cases, (0.3, 1.0, 0.3, 0.5))

    rng = np.random.default_rng(1)
    large = [shares(rng, np.tile(fixed, (1, 100))[:, :200], 1000).mean(2) for _ in range(60)]
    mean = np.mean(large, axis=0)
    of_band = [mean[:, place::2].mean(1) for place in (0, 1)]
    gains = [one[1] - one[0] for one in of_band]
    true = {
        "share": (of_band[0][0] + of_band[1][0]) / 2,
        "gain of a band": gains[0],
        "interaction": gains[0] - gains[1],
    }
    covered = dict.fromkeys(true, 0)
    rng = np.random.default_rng(2)
    for _ in range(2000):
        outcome = shares(rng, fixed, cases)
        values = outcome.mean(2)
        without = (values * cases - np.moveaxis(outcome, 2, 0)) / (cases - 1)
        gain, gain_without = values[1] - values[0], without[:, 1] - without[:, 0]
        found = {
            "share": band_contrast(
                one_stratum(values[0], without[:, 0]),
                np.zeros(readers, dtype=int),
                np.ones(1),
                share=True,
            ),
            "gain of a band": band_contrast(
                one_stratum(gain, gain_without), band, np.array([1.0, 0.0])
            ),
            "interaction": band_contrast(
                one_stratum(gain, gain_without), band, np.array([1.0, -1.0])
            ),
        }
        for name, one in found.items():
            covered[name] += one.low <= true[name] <= one.high
    print(readers, cases, {name: round(count / 2000, 3) for name, count in covered.items()})
    for name, count in covered.items():
        assert 0.93 <= count / 2000 <= 0.975, name
