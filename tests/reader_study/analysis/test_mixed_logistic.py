"""The mixed regression against statsmodels, dense matrices, quadrature and simulated studies."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import t as student
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from tests.reader_study.analysis.simulated import (
    BANDS,
    DESIGN,
    arrays_of,
    logistic_outcomes,
    simulate,
)
from vitatt.reader_study.analysis.laplace import LaplaceModel
from vitatt.reader_study.analysis.laplace_fit import maximum_likelihood, restricted_likelihood
from vitatt.reader_study.analysis.mixed_logistic import SAME_ARMS, SAME_GAINS, fit_correctness
from vitatt.reader_study.analysis.reading_arrays import reading_arrays
from vitatt.types import UsageError


def data(seed, readers=5, cases=12, arms=2):
    """Outcome (n,), design (n, arms), and the levels of readers, cases, and cases within arms."""
    rng = np.random.default_rng(seed)
    fixed = np.tile(np.linspace(0, 1, arms)[:, None], (1, readers))
    outcome = logistic_outcomes(rng, fixed, cases, (0.5, 1, 0.3, 0.5))
    arm, reader, case = (index.ravel() for index in np.indices(outcome.shape))
    design = np.stack([np.ones(arm.size), *(arm == one for one in range(1, arms))], axis=1)
    return outcome.ravel(), design, [reader, case, case * arms + arm]


def indicators(factors):
    return np.concatenate([np.eye(of.max() + 1)[of] for of in factors], axis=1)


def of_levels(deviations, factors):
    return np.concatenate(
        [np.full(of.max() + 1, one) for one, of in zip(deviations, factors, strict=True)]
    )


def dense_laplace(outcome, design, factors, coefficients, deviations):
    """The approximation with dense matrices and a general optimiser."""
    scaled = indicators(factors) * of_levels(deviations, factors)

    def penalised(u):
        odds = design @ coefficients + scaled @ u
        mean = 1 / (1 + np.exp(-odds))
        value = (outcome * np.log(mean) + (1 - outcome) * np.log(1 - mean)).sum() - u @ u / 2
        return -value, u - scaled.T @ (outcome - mean)

    found = minimize(
        penalised, np.zeros(scaled.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    mean = 1 / (1 + np.exp(-(design @ coefficients + scaled @ found.x)))
    hessian = scaled.T @ ((mean * (1 - mean))[:, None] * scaled) + np.eye(scaled.shape[1])
    return -found.fun - np.linalg.slogdet(hessian)[1] / 2


@pytest.mark.parametrize("seed", range(3))
def test_log_likelihood_against_dense_matrices(seed):
    outcome, design, factors = data(seed)
    rng = np.random.default_rng(seed)
    coefficients, deviations = rng.normal(size=2), rng.uniform(0, 1.5, 3)
    model = LaplaceModel(outcome, design, factors, design[:, :0])
    value, slope = model.log_likelihood(coefficients, deviations)
    expected = dense_laplace(outcome, design, factors, coefficients, deviations)
    assert value == pytest.approx(expected, abs=1e-8)
    point = np.concatenate([coefficients, deviations])
    for place, step in enumerate(np.eye(5) * 1e-5):
        above, below = (
            model.log_likelihood((point + side * step)[:2], (point + side * step)[2:])[0]
            for side in (1, -1)
        )
        assert slope[place] == pytest.approx((above - below) / 2e-5, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_modes_and_posterior_against_statsmodels(seed):
    """At given deviations, statsmodels' log posterior has its maximum at our modes."""
    outcome, design, factors = data(seed)
    deviations = np.array([0.5, 1.1, 0.4])
    ident = np.repeat(np.arange(3), [of.max() + 1 for of in factors])
    wide = 1e8  # a flat prior of coefficients
    reference = BinomialBayesMixedGLM(
        outcome, design, csr_matrix(indicators(factors)), ident, vcp_p=wide, fe_p=wide
    )
    model = LaplaceModel(outcome, design[:, :0], factors, design)
    modes = model.modes(np.zeros(0), deviations)
    scale = of_levels(deviations, factors)
    point = np.concatenate([modes.values[:2], np.log(deviations), scale * modes.values[2:]])
    slope = reference.logposterior_grad(point)
    np.testing.assert_allclose(np.delete(slope, [2, 3, 4]), 0, atol=1e-6)
    ours = outcome @ modes.log_odds - np.logaddexp(0, modes.log_odds).sum()
    ours -= modes.values[2:] @ modes.values[2:] / 2 + np.log(scale).sum()
    assert reference.logposterior(point) == pytest.approx(ours, abs=1e-6)


def test_without_random_intercepts_it_is_statsmodels_logistic_regression():
    outcome, design, factors = data(1)
    reference = sm.GLM(outcome, design, family=sm.families.Binomial()).fit(tol=1e-12)
    model = LaplaceModel(outcome, design[:, :0], factors, design)
    modes = model.modes(np.zeros(0), np.zeros(3))
    np.testing.assert_allclose(modes.values[:2], reference.params, atol=1e-8)
    np.testing.assert_allclose(
        np.linalg.inv(modes.curvature)[:2, :2], reference.cov_params(), atol=1e-8
    )
    value, _ = LaplaceModel(outcome, design, factors, design[:, :0]).log_likelihood(
        reference.params, np.zeros(3)
    )
    assert value == pytest.approx(reference.llf, abs=1e-8)


def test_the_approximation_approaches_quadrature():
    """Its error falls with the fourth power of the deviations."""
    outcome, design, factors = data(2, readers=2, cases=2)
    factors = factors[:2]
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    places = np.array(list(itertools.product(range(16), repeat=4)))
    share = (weights[places] / weights.sum()).prod(1)
    coefficients = np.array([0.3, 0.5])
    errors = []
    for size in (0.4, 0.2):
        odds = design @ coefficients + size * nodes[places] @ indicators(factors).T
        likelihood = np.exp(odds @ outcome - np.logaddexp(0, odds).sum(1))
        model = LaplaceModel(outcome, design, factors, design[:, :0])
        value, _ = model.log_likelihood(coefficients, np.array([size, size]))
        errors.append(abs(value - np.log(share @ likelihood)))
    assert errors[0] < 1e-2
    assert errors[1] < errors[0] / 10


def test_maximum_against_a_search_without_derivatives():
    outcome, design, factors = data(4, readers=4, cases=8)
    fit = maximum_likelihood(outcome, design, factors[:2])

    def loss(point):
        return -dense_laplace(outcome, design, factors[:2], point[:2], np.abs(point[2:]))

    start = np.concatenate([fit.coefficients, fit.deviations]) + 0.2
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-6)
    np.testing.assert_allclose(fit.coefficients, found.x[:2], atol=1e-3)
    restricted = restricted_likelihood(outcome, design, factors[:2])
    assert restricted.deviations.sum() > fit.deviations.sum()  # by the coefficients' uncertainty


def test_odds_ratios_and_tests_of_a_study():
    readings = simulate(np.random.default_rng(0), readers=12, cases=40)
    found = fit_correctness(arrays_of(readings))
    assert found.readings == readings.height == 12 * 40 * 3
    ratio = found.ratios.filter(arm="ai", reference="no_ai", experience="all")
    odds = {
        (row["arm"], row["experience"]): row["value"] for row in found.odds.iter_rows(named=True)
    }
    by_hand = np.prod([odds["ai", band] / odds["no_ai", band] for band in BANDS]) ** (1 / 3)
    assert ratio["value"].item() == pytest.approx(by_hand, rel=1e-6)
    assert ratio["low"].item() > 1  # AI was planted to help
    assert found.tests["hypothesis"].to_list() == [SAME_ARMS, SAME_GAINS]
    assert found.tests["df1"].to_list() == [2, 4]
    assert found.tests["df2"].to_list() == [18, 18]  # 9 readers within bands, 2 arms beside one
    assert found.tests.filter(hypothesis=SAME_ARMS)["p"].item() < 0.05
    assert found.deviations["factor"].to_list() == ["reader", "case", "reader x arm", "case x arm"]


def test_groups_of_cases_are_a_factor():
    readings = simulate(np.random.default_rng(0), cases=16, cases_per_group=2, readers=6)
    assert "group" in fit_correctness(arrays_of(readings)).deviations["factor"].to_list()


def test_a_reader_with_all_right_and_missing_readings_are_no_obstacle():
    readings = simulate(np.random.default_rng(3), readers=6, cases=20)
    readings = readings.with_columns(
        diagnosis=pl.when(reader="R05").then("truth").otherwise("diagnosis")
    ).filter(~((pl.col("reader") == "R00") & (pl.col("position") > 10)))
    found = fit_correctness(arrays_of(readings))
    assert found.ratios.select("low", "value", "high").to_numpy().all()
    assert np.isfinite(found.ratios.select("low", "value", "high").to_numpy()).all()


def test_separation_is_refused_by_name():
    readings = simulate(np.random.default_rng(3), readers=6, cases=8).with_columns(
        diagnosis=pl.when(experience="expert", arm="ai").then("truth").otherwise("diagnosis")
    )
    with pytest.raises(UsageError, match="the 16 diagnoses of expert readers in arm ai are all"):
        fit_correctness(arrays_of(readings))


def test_one_reader_at_each_level_is_refused():
    readings = simulate(np.random.default_rng(3), readers=3, cases=20)
    with pytest.raises(UsageError, match="3 readers at 3 levels"):
        fit_correctness(arrays_of(readings))


@pytest.mark.slow
def test_coverage_and_size_in_simulated_studies():
    """Log odds of an arm's gain, over readers of two bands, with and without interaction."""
    studies, readers, cases, gain = 800, 10, 60, 0.5
    rng = np.random.default_rng(11)
    band = np.arange(readers) % 2
    fixed = np.stack([0.4 + 0.4 * band, 0.4 + 0.4 * band + gain])
    covered = covered_interaction = rejected = 0
    overall, between = np.array([-0.5, -0.5, 0.5, 0.5]), np.array([-1.0, 1.0, 1.0, -1.0])
    quantile = student.ppf(0.975, readers - 2)
    for _ in range(studies):
        outcome = logistic_outcomes(rng, fixed, cases, (0.3, 1.0, 0.3, 0.5))
        arm, reader, case = (index.ravel() for index in np.indices(outcome.shape))
        factors = [reader, case, reader * 2 + arm, case * 2 + arm]
        cells = np.eye(4)[arm * 2 + band[reader]]
        fit = restricted_likelihood(outcome.ravel(), cells, factors)
        for weights, true in ((overall, gain), (between, 0.0)):
            error = np.sqrt(weights @ fit.covariance @ weights)
            inside = abs(weights @ fit.coefficients - true) < quantile * error
            covered += inside and true != 0
            covered_interaction += inside and true == 0
        additive = np.stack([np.ones(arm.size), arm, band[reader]], axis=1).astype(float)
        both = [maximum_likelihood(outcome.ravel(), one, factors) for one in (cells, additive)]
        ratio = 2 * (both[0].log_likelihood - both[1].log_likelihood)
        rejected += ratio > student.ppf(0.975, readers - 2) ** 2  # F with 1 degree is t squared
    shares = [one / studies for one in (covered, covered_interaction, rejected)]
    print(f"coverage of gain {shares[0]:.3f}, of interaction {shares[1]:.3f}, size {shares[2]:.3f}")
    assert 0.93 <= shares[0] <= 0.97
    assert 0.93 <= shares[1] <= 0.97
    assert 0.03 <= shares[2] <= 0.07


def test_the_design_of_bands_that_have_no_reader():
    """Bands without readers have no row."""
    readings = simulate(np.random.default_rng(0), readers=6, cases=20, num_bands=2)
    found = fit_correctness(reading_arrays(readings, **DESIGN))
    assert set(found.odds["experience"]) == set(BANDS[:2])
