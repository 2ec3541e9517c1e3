"""The challenge score against the organisers' scorer."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from isic_challenge_scoring.classification import ClassificationMetric, ClassificationScore

from vitatt.evaluation.challenge_score import balanced_accuracy, challenge_score

CLASSES = ["MEL", "NV", "BCC", "UNK"]


def make(seed: int, cases: int = 200) -> tuple[np.ndarray, ...]:
    """Truth, probabilities, some of them tied, and two weightings, some of them zero."""
    rng = np.random.default_rng(seed)
    truth = np.eye(4, dtype=bool)[rng.permutation(np.arange(cases) % 4)]
    probabilities = (0.5 * rng.dirichlet(np.ones(4), cases) + 0.5 * truth).round(1)
    score = rng.choice([0.0, 0.5, 1.0, 2.0], cases)
    return truth, probabilities, score, (rng.random(cases) < 0.3).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_official_scorer(seed):
    truth, probabilities, score, validation = make(seed)
    found = challenge_score(
        truth, probabilities, CLASSES, score_weight=score, validation_weight=validation
    )
    names = [f"ISIC_{n}" for n in range(len(truth))]
    official = ClassificationScore(
        pd.DataFrame(truth.astype(float), names, CLASSES),
        pd.DataFrame(probabilities, names, CLASSES),
        pd.DataFrame({"score_weight": score, "validation_weight": validation}, names),
        ClassificationMetric.BALANCED_ACCURACY,
    )
    assert found.overall == pytest.approx(official.overall, abs=1e-12)
    assert found.validation == pytest.approx(official.validation, abs=1e-12)
    for row in found.by_class.iter_rows(named=True):
        for metric, value in official.per_category.loc[row["class"]].items():
            assert row[metric] == pytest.approx(value, abs=1e-12), (row["class"], metric)


def test_classes_without_cases():
    truth, probabilities, score, _ = make(0)
    score = np.where(truth[:, 3], 0.0, score)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = challenge_score(
            truth, probabilities, CLASSES, score_weight=score, validation_weight=0 * score
        )
    assert np.isnan(found.validation)
    unknown = found.by_class.row(3, named=True)
    assert (unknown["cases"], unknown["sensitivity"], unknown["auc"]) == (0, 1, None)
    three = balanced_accuracy(truth[:, :3], probabilities[:, :3], score)
    whole = probabilities.copy()
    whole[:, 3] = 0
    assert balanced_accuracy(truth, whole, score) == pytest.approx(three)


def test_a_tie_is_wrong():
    truth = np.array([[True, False], [False, True]])
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert balanced_accuracy(truth, probabilities, np.ones(2)) == 0.5
