"""Every metric against scikit-learn, torchmetrics, the official ISIC scorer, and plain loops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    balanced_accuracy_score,
    mean_squared_error,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from vitatt.evaluation.metrics import (
    metrics,
    sensitivity_at_specificity,
)
from vitatt.types import PositiveClass, UsageError

CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
MELANOMA = 2
POSITIVE = PositiveClass("MEL", "melanoma")
MELANOMA_SENSITIVITY = "melanoma sensitivity at 90 % specificity"
ATOL = 1e-6


def sample(seed: int, cases: int = 300, *, rounded: bool = False):
    """Probabilities, targets and three weightings: fractions, numbers of draws, all the same."""
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(cases) % len(CLASSES))
    scores = rng.normal(size=(cases, len(CLASSES))) + 0.8 * np.eye(len(CLASSES))[targets]
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    if rounded:  # for ties
        probabilities = np.round(probabilities, 1)
    weights = np.stack(
        [rng.random(cases) + 0.1, rng.integers(0, 3, cases).astype(float), np.ones(cases)]
    )
    return probabilities, targets, weights


def naive_sensitivity_at_specificity(positive, scores, weight, specificity):
    """The best point of scikit-learn's curve, every threshold kept."""
    false, true, _ = roc_curve(positive, scores, sample_weight=weight, drop_intermediate=False)
    return true[1 - false >= specificity - 1e-9].max()


def naive_calibration_error(probabilities, targets, weight, bins=15):
    total = 0.0
    for number in range(bins):
        confidence, right, mass = 0.0, 0.0, 0.0
        for row, target, w in zip(probabilities, targets, weight, strict=True):
            if number / bins < max(row) <= (number + 1) / bins:
                confidence += w * max(row)
                right += w * (np.argmax(row) == target)
                mass += w
        total += abs(right - confidence)
    return total / weight.sum()


def expected(probabilities, targets, weight):
    """All metrics of one weighting."""
    predicted = probabilities.argmax(1)
    labels = range(len(CLASSES))
    one_hot = np.eye(len(CLASSES))[targets]
    areas = [roc_auc_score(targets == c, probabilities[:, c], sample_weight=weight) for c in labels]
    found = {
        "balanced accuracy": balanced_accuracy_score(targets, predicted, sample_weight=weight),
        "macro AUROC": np.mean(areas),
        MELANOMA_SENSITIVITY: naive_sensitivity_at_specificity(
            targets == MELANOMA, probabilities[:, MELANOMA], weight, 0.9
        ),
        "Brier": mean_squared_error(
            one_hot, probabilities, sample_weight=weight, multioutput="raw_values"
        ).sum(),
        "calibration error": naive_calibration_error(probabilities, targets, weight),
    }
    for c, name in enumerate(CLASSES):
        found[f"AUROC/{name}"] = areas[c]
        for kind, positive in (("sensitivity", True), ("specificity", False)):
            found[f"{kind}/{name}"] = recall_score(
                targets == c, predicted == c, pos_label=positive, sample_weight=weight
            )
    return found


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.long
def test_all_metrics_agree_with_scikit_learn_under_weights(seed, rounded):
    probabilities, targets, weights = sample(seed, rounded=rounded)
    ours = {
        name: statistic(probabilities, targets, weights)
        for name, statistic in metrics(CLASSES, POSITIVE).items()
    }
    for number, weight in enumerate(weights):
        for name, value in expected(probabilities, targets, weight).items():
            assert ours[name][number] == pytest.approx(value, abs=ATOL), name
    assert set(ours) == set(expected(probabilities, targets, weights[0]))


@pytest.mark.parametrize("specificity", [0.9, 0.7, 0.5])
def test_melanoma_sensitivity_where_the_specificity_is_met_exactly(specificity):
    """Of 10, 20, ... negatives, 90 % is a whole number, which rounding must not lose."""
    for negatives in range(10, 200, 10):
        rng = np.random.default_rng(negatives)
        targets = np.concatenate([np.ones(7, int), np.zeros(negatives, int)])
        scores = rng.normal(size=len(targets)) + targets
        probabilities = np.stack([-scores, scores], axis=1)
        weight = np.full((1, len(targets)), 0.1)
        value = sensitivity_at_specificity(
            probabilities, targets, weight, label=1, specificity=specificity
        )[0]
        allowed = round((1 - specificity) * negatives)
        threshold = np.sort(scores[targets == 0])[-allowed - 1]
        assert value == pytest.approx((scores[targets == 1] > threshold).mean(), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_agrees_with_torchmetrics(seed):
    probabilities, targets, weights = sample(seed)
    drawn = np.repeat(np.arange(len(targets)), weights[1].astype(int))
    theirs = multiclass_calibration_error(
        torch.as_tensor(probabilities[drawn]),
        torch.as_tensor(targets[drawn]),
        num_classes=len(CLASSES),
        n_bins=15,
    )
    ours = metrics(CLASSES, None)["calibration error"](probabilities, targets, weights)
    assert ours[1] == pytest.approx(float(theirs), abs=ATOL)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_the_official_isic_scorer(seed):
    scorer = pytest.importorskip("isic_challenge_scoring.classification")
    pandas = pytest.importorskip("pandas")
    probabilities, targets, weights = sample(seed)
    names = [f"ISIC_{number}" for number in range(len(targets))]

    def table(values):
        return pandas.DataFrame(values, index=names, columns=list(CLASSES))

    def score(values):
        ones = pandas.DataFrame(
            {"score_weight": weights[0], "validation_weight": weights[0]}, index=names
        )
        truth = table(np.eye(len(CLASSES))[targets])
        metric = scorer.ClassificationMetric.BALANCED_ACCURACY
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own old pandas calls
            return scorer.ClassificationScore(truth, table(values), ones, metric)

    ours = {
        name: statistic(probabilities, targets, weights)[0]
        for name, statistic in metrics(CLASSES, POSITIVE).items()
    }
    official = score(probabilities)
    assert ours["balanced accuracy"] == pytest.approx(official.overall, abs=ATOL)
    assert ours["macro AUROC"] == pytest.approx(official.macro_average["auc"], abs=ATOL)
    # Its sensitivity is at a probability of 0.5, ours of the most probable class.
    decided = score(np.eye(len(CLASSES))[probabilities.argmax(1)])
    for number, name in enumerate(CLASSES):
        area = official.per_category["auc"].iloc[number]
        assert ours[f"AUROC/{name}"] == pytest.approx(area, abs=ATOL)
        for kind in ("sensitivity", "specificity"):
            theirs = decided.per_category[kind].iloc[number]
            assert ours[f"{kind}/{name}"] == pytest.approx(theirs, abs=ATOL)


def test_an_absent_class_is_undefined_not_zero():
    probabilities, targets, weights = sample(0)
    kept = targets != MELANOMA
    values = {
        name: statistic(probabilities[kept], targets[kept], weights[:, kept])
        for name, statistic in metrics(CLASSES, POSITIVE).items()
    }
    undefined = {name for name, value in values.items() if np.isnan(value).all()}
    assert undefined == {"AUROC/MEL", "sensitivity/MEL", MELANOMA_SENSITIVITY}
    assert all(np.isfinite(values[name]).all() for name in set(values) - undefined)


def test_without_other_classes_specificity_is_undefined():
    probabilities, targets, weights = sample(0)
    kept = targets == MELANOMA
    values = metrics(CLASSES, POSITIVE)
    for name in ("AUROC/MEL", "specificity/MEL", MELANOMA_SENSITIVITY):
        assert np.isnan(values[name](probabilities[kept], targets[kept], weights[:, kept])).all()


def test_weights_of_zero_are_absent_cases():
    """What a resample does that misses a patient."""
    probabilities, targets, weights = sample(1)
    weight = weights[1:2]
    present = weight[0] > 0
    for name, statistic in metrics(CLASSES, POSITIVE).items():
        whole = statistic(probabilities, targets, weight)
        part = statistic(probabilities[present], targets[present], weight[:, present])
        np.testing.assert_allclose(whole, part, atol=1e-12, err_msg=name)


def test_without_melanoma_there_is_no_such_metric():
    assert MELANOMA_SENSITIVITY not in metrics(CLASSES, None)
    with pytest.raises(UsageError, match=r"to be one of ACK, .* but got 'melanoma'"):
        metrics(CLASSES, PositiveClass("melanoma", "MEL"))
