"""Bootstrap intervals against scikit-learn and against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from vitatt.evaluation.bootstrap import (
    balanced_accuracy,
    group_bootstrap,
    macro_auroc,
    resample,
)


def sample(seed: int, cases: int = 200, classes: int = 4):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, cases)
    # Rounded, so that there are ties.
    scores = np.round(rng.dirichlet(np.ones(classes), cases) + 0.3 * np.eye(classes)[targets], 2)
    return scores, targets


@pytest.mark.parametrize("seed", range(5))
def test_statistics_agree_with_scikit_learn_under_weights(seed):
    scores, targets = sample(seed)
    rng = np.random.default_rng(seed + 100)
    weights = rng.integers(0, 4, (3, len(targets))).astype(float)
    accuracies = balanced_accuracy(scores, targets, weights)
    areas = macro_auroc(scores, targets, weights)
    for row, accuracy, area in zip(weights, accuracies, areas, strict=True):
        drawn = np.repeat(np.arange(len(targets)), row.astype(int))
        true, score = targets[drawn], scores[drawn]
        expected = balanced_accuracy_score(true, score.argmax(1))
        assert accuracy == pytest.approx(expected, abs=1e-12)
        aucs = [roc_auc_score(true == c, score[:, c]) for c in range(4)]
        assert area == pytest.approx(np.mean(aucs), abs=1e-12)


def test_classes_that_do_not_occur_are_left_out():
    scores, targets = sample(0)
    keep = targets != 2
    value = macro_auroc(scores[keep], targets[keep], np.ones((1, keep.sum())))[0]
    aucs = [roc_auc_score(targets[keep] == c, scores[keep][:, c]) for c in (0, 1, 3)]
    assert value == pytest.approx(np.mean(aucs))
    value = balanced_accuracy(scores[keep], targets[keep], np.ones((1, keep.sum())))[0]
    recalls = [np.mean(scores[targets == c].argmax(1) == c) for c in (0, 1, 3)]
    assert value == pytest.approx(np.mean(recalls))


def test_the_same_seed_gives_the_same_interval():
    scores, targets = sample(1)
    groups = np.arange(len(targets)) // 3
    first = group_bootstrap(balanced_accuracy, scores, targets, groups, num_resamples=200)
    again = group_bootstrap(balanced_accuracy, scores, targets, groups, num_resamples=200)
    other = group_bootstrap(balanced_accuracy, scores, targets, groups, num_resamples=200, seed=1)
    assert first == again
    assert first != other
    assert first.low < first.value < first.high
    assert str(first).startswith(f"{first.value:.3f} [")


def test_copies_within_a_group_do_not_narrow_the_interval():
    scores, targets = sample(2, cases=60)
    groups = np.arange(60)
    single = group_bootstrap(balanced_accuracy, scores, targets, groups)
    copies = [np.repeat(values, 5, axis=0) for values in (scores, targets, groups)]
    grouped = group_bootstrap(balanced_accuracy, *copies)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.05)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """95 % intervals hold the true value in 93 to 97 % of datasets of patients with several images.

    The 120 patients of a dataset have one diagnosis and 1 to 5 images each. An image's score is the
    diagnosis, plus the patient's own normal deviate, plus the image's: so the truth is known.
    """
    rng = np.random.default_rng(0)
    # Two scores of different patients differ by 1 on average, with a variance of 2 + 2.
    truth = {"balanced accuracy": norm.cdf(0.5 / np.sqrt(2)), "macro AUROC": norm.cdf(0.5)}
    statistics = {"balanced accuracy": balanced_accuracy, "macro AUROC": macro_auroc}
    covered = dict.fromkeys(truth, 0)
    for run in range(4000):
        groups = np.repeat(np.arange(120), rng.integers(1, 6, 120))
        targets = rng.integers(0, 2, 120)[groups]
        scores = targets - 0.5 + rng.normal(size=120)[groups] + rng.normal(size=len(groups))
        probabilities = expit(np.stack([-scores, scores], axis=1))
        resampled = resample(
            statistics, probabilities, targets, groups, num_resamples=400, seed=run
        )
        for name, value in truth.items():
            interval = resampled[name].interval()
            covered[name] += interval.low <= value <= interval.high
    for name, count in covered.items():
        assert 0.93 <= count / 4000 <= 0.97, name


def test_several_statistics_share_the_resamples():
    scores, targets = sample(3)
    groups = np.arange(len(targets)) // 3
    statistics = {"one": balanced_accuracy, "other": macro_auroc, "same": balanced_accuracy}
    together = resample(statistics, scores, targets, groups, num_resamples=250)
    assert len(together["one"].values) == 250
    np.testing.assert_array_equal(together["one"].values, together["same"].values)
    for name, statistic in statistics.items():
        alone = group_bootstrap(statistic, scores, targets, groups, num_resamples=250)
        assert together[name].interval() == alone


def test_resamples_are_of_groups_whatever_the_order_of_the_cases():
    scores, targets = sample(4)
    groups = np.array([f"PAT_{number // 3}" for number in range(len(targets))])
    order = np.random.default_rng(0).permutation(len(targets))
    before = resample({"": macro_auroc}, scores, targets, groups, num_resamples=50)[""]
    after = resample(
        {"": macro_auroc}, scores[order], targets[order], groups[order], num_resamples=50
    )
    np.testing.assert_allclose(before.values, after[""].values, atol=1e-12)


def test_undefined_everywhere_has_no_interval():
    scores, targets = sample(5)
    interval = group_bootstrap(macro_auroc, scores, np.zeros_like(targets), targets)
    assert np.isnan(interval).all()


def test_wrong_lengths_are_refused():
    scores, targets = sample(0)
    with pytest.raises(ValueError, match="as many probabilities, targets and groups"):
        group_bootstrap(balanced_accuracy, scores, targets[:-1], targets)
