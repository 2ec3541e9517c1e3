"""Points of curves against scikit-learn and a loop over resamples; crossings by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tests.tasks import make_batch, make_network, make_task
from vitatt.studies import robustness_scores as robustness
from vitatt.studies.robustness_scores import CURVES, falls_below, probabilities_of, score_level

CASES, CLASSES = 120, 3


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(robustness, "RESAMPLES", 25)


@pytest.fixture
def measured():
    """Probabilities of four predictions, targets and groups."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, CLASSES, CASES)
    scores = [
        rng.dirichlet(np.ones(CLASSES), CASES) * 0.7 + 0.3 * np.eye(CLASSES)[targets]
        for _ in range(4)
    ]
    return scores, targets, rng.integers(0, 40, CASES).astype(str)


def by_sklearn(metric: str, scores: np.ndarray, targets: np.ndarray, weights=None) -> float:
    if metric == "balanced accuracy":
        return balanced_accuracy_score(targets, scores.argmax(1), sample_weight=weights)
    return float(
        np.mean(
            [
                roc_auc_score(targets == label, scores[:, label], sample_weight=weights)
                for label in range(CLASSES)
            ]
        )
    )


@pytest.mark.long
def test_points_agree_with_scikit_learn(measured):
    (*versions, reference), targets, groups = measured
    rows = score_level(versions, targets, groups, reference)
    assert [row["metric"] for row in rows] == ["balanced accuracy", "macro AUROC"]
    # The same resamples of groups, by hand.
    names, member = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        len(names), np.full(len(names), 1 / len(names)), 25
    )
    for row in rows:
        assert (row["n"], row["groups"], row["repeats"]) == (CASES, len(names), 3)
        values, differences = [], []
        for weights in [np.ones(CASES), *draws[:, member].astype(float)]:
            of = [by_sklearn(row["metric"], one, targets, weights) for one in versions]
            values.append(np.mean(of))
            other = by_sklearn(row["metric"], reference, targets, weights)
            differences.append(np.mean(of) - other)
        ends = np.quantile(values[1:], [0.025, 0.975])
        np.testing.assert_allclose([row["value"], row["low"], row["high"]], [values[0], *ends])
        ends = np.quantile(differences[1:], [0.025, 0.975])
        np.testing.assert_allclose(
            [row["difference"], row["difference_low"], row["difference_high"]],
            [differences[0], *ends],
            atol=1e-12,
        )


def test_no_difference_to_itself_and_none_without_reference(measured):
    (one, *_), targets, groups = measured
    for row in score_level([one, one], targets, groups, one):
        assert row["difference"] == pytest.approx(0, abs=1e-12)
        assert row["difference_high"] == pytest.approx(0, abs=1e-12)
    for row in score_level([one], targets, groups):
        assert row["difference"] is row["difference_low"] is row["difference_high"] is None


def test_probabilities_do_not_depend_on_the_batches():
    network, batch = make_network(make_task()), make_batch(make_task(), 11)
    with torch.no_grad():
        expected = network(batch).logits.softmax(1)
    for size in (1, 4, 64):
        np.testing.assert_allclose(
            probabilities_of(network, batch, batch_size=size), expected, atol=1e-6
        )


def curve(perturbation: str, points: list[tuple[float, float | None, float | None]]):
    place = {"model": "m", "kind": "missing", "perturbation": perturbation, "metric": "f"}
    return [
        {**place, "level": level, "difference": difference, "difference_high": high}
        for level, difference, high in points
    ]


def test_falls_below_at_the_first_level_measured():
    rows = [
        *curve("late", [(0, 0.1, 0.2), (1, -0.1, 0.1), (2, 0.05, 0.1), (3, -0.3, -0.1)]),
        *curve("never", [(0, 0.1, 0.2), (1, 0.0, 0.1)]),
        # As they may come, and where nothing is defined.
        *curve("turned", [(2, -0.2, -0.1), (1, -0.1, 0.1), (0, float("nan"), float("nan"))]),
        *curve("alone", [(0, None, None)]),
    ]
    frame = pl.DataFrame([dict.fromkeys(CURVES) | row for row in rows], schema=CURVES)
    found = falls_below(frame).select("perturbation", "below_at", "surely_below_at").rows()
    assert found == [("late", 1.0, 3.0), ("never", None, None), ("turned", 1.0, 2.0)]
