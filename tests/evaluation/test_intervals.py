"""Bootstrap intervals against scikit-learn and against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from vitatt.evaluation.intervals import balanced_accuracy, group_bootstrap, macro_auroc


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


def test_intervals_cover_the_truth():
    """Patients with correlated images: 95 % intervals hold the true value in 93 to 97 %."""
    rng = np.random.default_rng(0)
    covered, runs, skill = 0, 400, 0.7
    for run in range(runs):
        groups = np.repeat(np.arange(120), 3)
        right = np.repeat(rng.random(120) < skill, 3)  # a patient's images are all right or wrong
        targets = np.repeat(rng.integers(0, 2, 120), 3)
        scores = np.eye(2)[np.where(right, targets, 1 - targets)]
        interval = group_bootstrap(
            balanced_accuracy, scores, targets, groups, num_resamples=400, seed=run
        )
        covered += interval.low <= skill <= interval.high
    assert 0.92 <= covered / runs <= 0.98


def test_wrong_lengths_are_refused():
    scores, targets = sample(0)
    with pytest.raises(ValueError, match="as many probabilities, targets and groups"):
        group_bootstrap(balanced_accuracy, scores, targets[:-1], targets)
