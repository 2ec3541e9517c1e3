"""Temperature scaling against scikit-learn's log loss, and reliability curves against its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from vitatt.evaluation.calibration import BOUNDS, fit_temperature, reliability_curve, temper
from vitatt.evaluation.metrics import calibration_error
from vitatt.types import CALIBRATION_BINS


def sample(seed: int, sharpness: float, cases: int = 400, classes: int = 5):
    """Targets drawn from probabilities, which are then given too sharp or too flat."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(cases, classes)) * 2
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = np.array([rng.choice(classes, p=row) for row in true])
    given = np.exp(sharpness * logits)
    return given / given.sum(1, keepdims=True), targets


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_temperature_minimises_the_log_loss_of_scikit_learn(seed, sharpness):
    probabilities, targets = sample(seed, sharpness)

    def loss(temperature):
        powers = probabilities ** (1 / temperature)
        return log_loss(targets, powers / powers.sum(1, keepdims=True))

    found = fit_temperature(probabilities, targets)
    # A minimum is flat: values alone place it within the root of their rounding error.
    best = minimize_scalar(loss, bounds=BOUNDS, method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, rel=1e-5)
    assert loss(found) <= best.fun + 1e-14
    step = 1e-4
    assert loss(found * (1 - step)) == pytest.approx(loss(found * (1 + step)), abs=1e-10)


@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_it_finds_how_sharp_probabilities_were_made(sharpness):
    probabilities, targets = sample(0, sharpness, cases=5000)
    temperature = fit_temperature(probabilities, targets)
    assert temperature == pytest.approx(sharpness, rel=0.06)
    before, after = (
        log_loss(targets, p) for p in (probabilities, temper(probabilities, temperature))
    )
    assert after < before - 0.01


def test_tempering_is_a_power_normalised():
    probabilities, _ = sample(0, 1.0)
    powers = probabilities ** (1 / 2.5)
    np.testing.assert_allclose(
        temper(probabilities, 2.5), powers / powers.sum(1, keepdims=True), atol=1e-12
    )
    np.testing.assert_allclose(temper(probabilities, 1.0), probabilities, atol=1e-12)
    one_each = np.full(len(probabilities), 2.5)
    one_each[0] = 1.0
    tempered = temper(probabilities, one_each)
    np.testing.assert_allclose(tempered[0], probabilities[0], atol=1e-12)
    np.testing.assert_allclose(tempered[1:], temper(probabilities, 2.5)[1:], atol=1e-12)


def test_a_likelihood_without_a_peak_gives_an_end():
    probabilities, _ = sample(0, 1.0)
    assert fit_temperature(probabilities, probabilities.argmax(1)) == pytest.approx(BOUNDS[0])
    assert fit_temperature(probabilities, probabilities.argmin(1)) == pytest.approx(BOUNDS[1])


def test_probabilities_of_zero_are_no_end_of_the_world():
    """As float32 networks and trees give them."""
    certain = np.eye(3)[[0, 1, 2, 0]]
    temperature = fit_temperature(certain, [0, 1, 2, 1])
    assert BOUNDS[0] < temperature < BOUNDS[1]
    tempered = temper(certain, temperature)
    assert np.isfinite(tempered).all()
    # One of four is wrong: so sure should they be.
    np.testing.assert_allclose(tempered.max(1), 0.75, atol=1e-6)


def test_uniform_probabilities_are_left_as_they_are():
    assert fit_temperature(np.full((6, 3), 1 / 3), [0, 1, 2, 0, 0, 0]) == 1


def test_no_case_and_other_lengths_are_refused():
    with pytest.raises(ValueError, match="at least one, but got 0 and 0"):
        fit_temperature(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match="but got 4 and 3"):
        fit_temperature(np.eye(4), [0, 1, 2])


def test_reliability_curve_agrees_with_scikit_learn_and_the_calibration_error():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(4), 500)
    targets = rng.integers(0, 4, 500)
    confidence, right, count = reliability_curve(probabilities, targets)
    correct = probabilities.argmax(1) == targets
    expected = calibration_curve(correct, probabilities.max(1), n_bins=CALIBRATION_BINS)
    known = count > 0
    assert not known.all()
    np.testing.assert_allclose((right[known], confidence[known]), expected)
    assert np.isnan(right[~known]).all()
    gap = np.nansum(np.abs(right - confidence) * count) / count.sum()
    error = calibration_error(probabilities, targets, np.ones((1, 500)))[0]
    np.testing.assert_allclose(gap, error)
