"""Classical models against scikit-learn used by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from vitatt.models.classical.encoded_cases import EncodedCases
from vitatt.models.classical.gradient_boosting import GradientBoosting
from vitatt.models.classical.logistic_regression import FeatureRegression
from vitatt.models.classical.two_stage import TwoStage

CARDINALITIES = (3, 2)


def make_cases(count: int, seed: int = 0) -> EncodedCases:
    """Cases of three classes whose first feature says the class, mostly."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, count)
    first = np.where(rng.random(count) < 0.8, target, rng.integers(0, 3, count))
    metadata = np.hstack([np.eye(3)[first], np.eye(2)[rng.integers(0, 2, count)]])
    missing = rng.random((count, 2)) < 0.2
    metadata[missing[:, 0], :3] = 1 / 3
    metadata[missing[:, 1], 3:] = 1 / 2
    return EncodedCases(metadata, missing, target, np.array([f"g{n // 2}" for n in range(count)]))


def image_features(cases: EncodedCases, seed: int = 1) -> np.ndarray:
    """Features of very different spreads, of which one says the class."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(cases.target), 4)) * [1, 100, 0.01, 1]
    noise[:, 1] += 100 * cases.target
    return noise


def table_by_hand(cases: EncodedCases, image: np.ndarray, like: np.ndarray, scale: float):
    standard = (image - like.mean(0)) / like.std(0) * scale
    known = cases.metadata.copy()
    known[cases.missing[:, 0], :3] = 0
    known[cases.missing[:, 1], 3:] = 0
    return np.hstack([standard, known, cases.missing])


def test_regression_is_the_best_of_all_settings_on_grouped_folds():
    cases, later = make_cases(240), make_cases(60, seed=5)
    image, later_image = image_features(cases), image_features(later)
    model = FeatureRegression(CARDINALITIES, 4, seed=3)
    held_out = model.fit(cases, image)
    folds = list(
        StratifiedGroupKFold(5, shuffle=True, random_state=3).split(
            cases.metadata, cases.target, cases.group
        )
    )

    def fit(rows, scale, strength):
        made = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        return made.fit(table_by_hand(cases, image, image[rows], scale)[rows], cases.target[rows])

    def loss(scale, strength):
        found = []
        for train, val in folds:
            p = fit(train, scale, strength).predict_proba(
                table_by_hand(cases, image, image[train], scale)[val]
            )
            found.append(log_loss(cases.target[val], p))
        return np.mean(found)

    settings = [(scale, c) for scale in (0.125, 0.25, 0.5) for c in (0.03, 0.1, 0.3, 1.0)]
    scale, strength = min(settings, key=lambda one: loss(*one))
    rows = np.arange(len(image))
    expected = fit(rows, scale, strength).predict_proba(
        table_by_hand(later, later_image, image, scale)
    )
    np.testing.assert_allclose(model.predict(later, later_image), expected, atol=1e-5)
    assert held_out.shape == (240, 3)
    train, val = folds[0]
    unseen = fit(train, scale, strength).predict_proba(
        table_by_hand(cases, image, image[train], scale)[val]
    )
    np.testing.assert_allclose(held_out[val], unseen, atol=1e-5)


@pytest.mark.parametrize("inputs", ["image", "metadata"])
def test_regression_on_one_input(inputs):
    cases = make_cases(120)
    if inputs == "image":
        none = np.zeros((120, 0))
        cases = cases._replace(metadata=none, missing=none.astype(bool))
    image = image_features(cases) if inputs == "image" else np.zeros((120, 0))
    model = FeatureRegression(CARDINALITIES if inputs == "metadata" else (), image.shape[1])
    model.fit(cases, image)
    assert (model.predict(cases, image).argmax(1) == cases.target).mean() > 0.6


def test_what_a_missing_feature_is_filled_with_does_not_matter():
    cases = make_cases(120)
    image = image_features(cases)
    filled = cases.metadata.copy()
    filled[cases.missing[:, 0], :3] = [0.9, 0.05, 0.05]
    found = []
    for one in (cases, cases._replace(metadata=filled)):
        model = FeatureRegression(CARDINALITIES, 4)
        model.fit(one, image)
        found.append(model.predict(one, image))
    np.testing.assert_array_equal(*found)


def test_trees_choose_by_validation():
    training, validation = make_cases(200), make_cases(80, seed=2)
    model = GradientBoosting(CARDINALITIES, max_rounds=20).fit(training, validation)
    assert (
        model.predict(make_cases(200, seed=7)).argmax(1) == make_cases(200, seed=7).target
    ).mean() > 0.6


@pytest.mark.parametrize(
    "predict",
    [
        lambda cases: FeatureRegression(CARDINALITIES, 0).predict(cases, np.zeros((20, 0))),
        lambda cases: GradientBoosting(CARDINALITIES).predict(cases),
        lambda cases: TwoStage().predict(cases, np.full((20, 3), 1 / 3)),
    ],
    ids=["regression", "trees", "two stages"],
)
def test_a_model_that_was_not_fitted_is_refused(predict):
    with pytest.raises(ValueError, match="call `fit` first"):
        predict(make_cases(20))
