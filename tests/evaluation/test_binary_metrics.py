"""Metrics of the positive one of two classes, against scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tests.evaluation.predictions import make_predictions
from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.comparison import compare_arms
from vitatt.evaluation.metrics import (
    AVERAGE_PRECISION,
    COMPARED,
    PARTIAL_AUROC,
    average_precision,
    compared,
    headline,
    metrics,
    partial_auroc,
)
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.evaluation.subgroups import score_subgroups
from vitatt.evaluation.summary import summarise
from vitatt.types import PositiveClass

CLASSES = ("malignant", "benign")
POSITIVE = PositiveClass("malignant", "malignant")
SENSITIVITIES = [f"malignant sensitivity at {n} % specificity" for n in (80, 90, 95)]
MAIN = ["balanced accuracy", "AUROC", PARTIAL_AUROC, AVERAGE_PRECISION]


def sample(seed: int, positives: int, negatives: int, digits: int = 12):
    """Probabilities, targets (0 is malignant) and weightings: equal, draws, and fractions."""
    rng = np.random.default_rng(seed)
    targets = np.repeat([0, 1], [positives, negatives])
    scores = rng.normal(size=len(targets)) + 1.2 * (targets == 0)
    malignant = np.round(1 / (1 + np.exp(-scores)), digits)
    draws = rng.integers(0, 3, len(targets)).astype(float)
    draws[[0, -1]] = 1  # a case of each class is in every resample
    weights = np.stack([np.ones(len(targets)), draws, rng.random(len(targets)) + 0.1])
    return np.stack([malignant, 1 - malignant], axis=1), targets, weights


def official_partial_auroc(positive, scores, weight):
    """As the code of the ISIC 2024 challenge: labels and scores reversed, McClish undone."""
    most = 1 - 0.8
    scaled = roc_auc_score(1 - positive, -scores, max_fpr=most, sample_weight=weight)
    return 0.5 * most**2 + (most - 0.5 * most**2) / (1.0 - 0.5) * (scaled - 0.5)


def naive_partial_auroc(positive, scores, weight):
    """Trapezoids above 80 % sensitivity, the crossing of 0.8 added to the curve."""
    false, true, _ = roc_curve(positive, scores, sample_weight=weight, drop_intermediate=False)
    area = 0.0
    for x0, x1, y0, y1 in zip(false[:-1], false[1:], true[:-1], true[1:], strict=True):
        if y0 < 0.8 < y1:
            x0, y0 = x0 + (x1 - x0) * (0.8 - y0) / (y1 - y0), 0.8
        area += (x1 - x0) * (max(y0 - 0.8, 0) + max(y1 - 0.8, 0)) / 2
    return area


@pytest.mark.parametrize("digits", [12, 1])
@pytest.mark.parametrize(("positives", "negatives"), [(30, 80), (1, 60), (3, 900), (80, 2)])
def test_they_agree_with_scikit_learn(positives, negatives, digits):
    for seed in range(4):
        probabilities, targets, weights = sample(seed, positives, negatives, digits)
        areas = partial_auroc(probabilities, targets, weights, label=0)
        precisions = average_precision(probabilities, targets, weights, label=0)
        curves = compared(CLASSES, POSITIVE)["AUROC"](probabilities, targets, weights)
        for number, weight in enumerate(weights):
            arguments = (targets == 0).astype(int), probabilities[:, 0]
            official = official_partial_auroc(*arguments, weight)
            assert areas[number] == pytest.approx(official, abs=1e-12)
            assert areas[number] == pytest.approx(naive_partial_auroc(*arguments, weight), abs=1e-9)
            expected = average_precision_score(*arguments, sample_weight=weight)
            assert precisions[number] == pytest.approx(expected, abs=1e-12)
            expected = roc_auc_score(*arguments, sample_weight=weight)
            assert curves[number] == pytest.approx(expected, abs=1e-12)


def test_perfect_useless_and_wrong_scores():
    targets = np.repeat([0, 1], [10, 90])
    weights = np.ones((1, 100))
    for malignant, area, precision in (
        (targets == 0, 0.2, 1.0),
        (np.full(100, 0.5), 0.02, 0.1),
        (targets == 1, 0.0, 0.1),
    ):
        malignant = np.asarray(malignant, dtype=float)
        probabilities = np.stack([malignant, 1 - malignant], axis=1)
        found = partial_auroc(probabilities, targets, weights, label=0)[0]
        assert found == pytest.approx(area, abs=1e-12)
        found = average_precision(probabilities, targets, weights, label=0)[0]
        assert found == pytest.approx(precision, abs=1e-12)


@pytest.mark.parametrize("kept", [0, 1])
def test_one_class_alone_is_undefined(kept):
    probabilities, targets, weights = sample(0, 20, 20)
    part = targets == kept
    resample = np.where(part, 1.0, 0.0)[None]  # one that misses all cases of the other
    undefined = [*MAIN[1:], *SENSITIVITIES]
    for name, statistic in headline(CLASSES, POSITIVE).items():
        few = statistic(probabilities[part], targets[part], weights[:, part])
        drawn = statistic(probabilities, targets, resample)
        assert np.isnan(few).all() == np.isnan(drawn).all() == (name in undefined), name


def test_weights_of_zero_are_absent_cases():
    probabilities, targets, weights = sample(1, 40, 60, digits=1)
    present = weights[1] > 0
    for name, statistic in metrics(CLASSES, POSITIVE).items():
        whole = statistic(probabilities, targets, weights[1:2])
        part = statistic(probabilities[present], targets[present], weights[1:2, present])
        np.testing.assert_allclose(whole, part, atol=1e-12, err_msg=name)


def test_which_metrics_there_are():
    calibration = ["Brier", "calibration error"]
    by_class = ["sensitivity/malignant", "specificity/malignant"]
    assert list(metrics(CLASSES, POSITIVE)) == [*MAIN, *by_class, *SENSITIVITIES, *calibration]
    assert list(headline(CLASSES, POSITIVE)) == [*MAIN, *SENSITIVITIES]
    three = ("malignant", "benign", "other")
    for classes, positive in ((three, POSITIVE), (three, None), (CLASSES, None)):
        assert headline(classes, positive) == compared(classes, positive) == COMPARED


def binary() -> pl.DataFrame:
    """Predictions of two classes, the first half of four made ones malignant."""
    frame = make_predictions()
    return frame.select(
        pl.exclude("^p_.*$", "true"),
        pl.col("true").replace_strict(
            {"ACK": "benign", "BCC": "malignant", "MEL": "malignant", "NEV": "benign"}
        ),
        p_malignant=pl.col("p_BCC") + pl.col("p_MEL"),
        p_benign=pl.col("p_ACK") + pl.col("p_NEV"),
    )


def test_tables_of_arms_differences_and_subgroups():
    frame = binary()
    arms = score_arms(frame, CLASSES, [], POSITIVE)
    averaged = average_seeds(frame.filter(arm="fusion"))
    true = (averaged["true"] == "malignant").to_numpy().astype(int)
    found = arms.filter(arm="fusion", metric=PARTIAL_AUROC).row(0, named=True)
    expected = official_partial_auroc(true, averaged["p_malignant"].to_numpy(), None)
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < found["value"] < found["high"] < 0.2
    pairs = compare_arms(frame, CLASSES, "image", POSITIVE)
    assert pairs["metric"].to_list() == MAIN
    assert pairs["difference"].min() > 0
    assert pairs["p"].is_between(0, 1).all()
    subgroups = score_subgroups(averaged, CLASSES, ["sex"], positive=POSITIVE)
    assert set(subgroups["metric"]) == {*MAIN} - {AVERAGE_PRECISION}


def test_a_summary_and_its_keys():
    frame = binary().filter(arm="fusion", seed=0)
    summary = summarise(frame, CLASSES, ["age"], positive=POSITIVE)
    assert list(summary.intervals["all cases"]) == [*MAIN, *SENSITIVITIES]
    assert len({line.index("  (") for line in summary.lines()}) == 1, "in columns"
    keys = summary.metrics()
    assert "test_intervals/all_cases_AUROC" in keys
    assert "test_intervals/complete_cases_partial_AUROC_above_80_TPR_low" in keys
    assert "test_intervals/all_cases_malignant_sensitivity_at_95_specificity_high" in keys
    nothing = summarise(frame, CLASSES, ["age"], frame, positive=POSITIVE)
    assert set(nothing.intervals["all cases"].values()) == {(0.0, 0.0, 0.0)}
    multi = summarise(frame, CLASSES, ["age"]).metrics()
    assert {key for key in multi if not key.endswith(("_low", "_high"))} == {
        f"test_intervals/{where}_cases_{name}"
        for where in ("all", "complete")
        for name in ("balanced_accuracy", "macro_AUROC")
    }
