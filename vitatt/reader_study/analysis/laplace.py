"""Logistic regression with crossed random intercepts, by the Laplace approximation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import expit

from vitatt.evaluation.bootstrap import Floats

Levels = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes:
        coefficients: Of the columns of the design, (P,), in log odds.
        covariance: Of the coefficients, given the standard deviations, (P, P).
        deviations: Standard deviation of each random factor, (K,), in log odds.
        log_likelihood: Of the data, by the Laplace approximation.
        modes: Most probable random intercepts, factor after factor, (Q,).
    """

    coefficients: Floats
    covariance: Floats
    deviations: Floats
    log_likelihood: float
    modes: Floats


class _State(NamedTuple):
    """A model at some random intercepts.

    Attributes:
        log_odds: (n,).
        mean: Probability of outcome 1, (n,).
        weight: Variance of the outcome, (n,).
        product: Z' W Z, (Q, Q), of the indicators Z of all levels and the weights W.
        curvature: Negative second derivative of the penalised log likelihood by u, (Q, Q).
    """

    log_odds: Floats
    mean: Floats
    weight: Floats
    product: Floats
    curvature: Floats


class LaplaceModel:
    """The likelihood of a logistic regression with crossed random intercepts.

    The log odds of observation i are x_i' beta + sum_k sd_k u_k[level of i in factor k] with
    standard normal u. With the modes of u and the curvature H of the penalised log likelihood
    there, the log likelihood is that at the modes - u'u / 2 - log det H / 2 (Breslow and Clayton
    1993, "Approximate inference in generalized linear mixed models", Journal of the American
    Statistical Association 88, 9-25, section 2.1).

    Args:
        outcome: 0 or 1, (n,).
        design: Columns of the fixed effects, (n, P).
        factors: Level of each observation in each random factor, from 0, each (n,).
    """

    def __init__(self, outcome: Floats, design: Floats, factors: Sequence[Levels]) -> None:
        self.outcome, self.design = outcome, design
        self.sizes = [int(levels.max()) + 1 for levels in factors]
        starts = np.cumsum([0, *self.sizes[:-1]])
        self.places = [start + levels for start, levels in zip(starts, factors, strict=True)]
        self.factor = np.repeat(np.arange(len(factors)), self.sizes)
        self._modes = np.zeros(len(self.factor))

    def fit(self) -> Fit:
        """Maximise the likelihood over coefficients and standard deviations.

        Raises:
            RuntimeError: If the search for the maximum fails.
        """
        columns, factors = self.design.shape[1], len(self.sizes)
        start = np.concatenate([np.zeros(columns), np.full(factors, 0.5)])
        bounds = [(None, None)] * columns + [(0.0, None)] * factors

        def loss(parameters: Floats) -> tuple[float, Floats]:
            value, slope = self.log_likelihood(parameters[:columns], parameters[columns:])
            return -value, -slope

        options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        slope = np.where((found.x <= 0) & (found.jac > 0), 0, found.jac)
        if not found.success and np.abs(slope).max() > _FLAT * max(1.0, abs(found.fun)):
            raise RuntimeError(f"The mixed logistic model was not fitted: {found.message}")
        coefficients, deviations = found.x[:columns], found.x[columns:]
        value, _ = self.log_likelihood(coefficients, deviations)
        scale = deviations[self.factor]
        covariance = self._covariance(self._state(coefficients, scale), scale)
        return Fit(coefficients, covariance, deviations, value, scale * self._modes)

    def log_likelihood(self, coefficients: Floats, deviations: Floats) -> tuple[float, Floats]:
        """The log likelihood, and its derivatives by coefficients and deviations, (P + K,)."""
        scale = deviations[self.factor]
        modes, state = self._find_modes(coefficients, scale)
        log_odds, mean, weight, product, curvature = state
        factor = cho_factor(curvature, lower=True)
        fitted = self.outcome @ log_odds - np.logaddexp(0, log_odds).sum()
        value = fitted - modes @ modes / 2 - np.log(np.diag(factor[0])).sum()

        inverse = cho_solve(factor, np.eye(len(scale)))
        residual = self.outcome - mean
        spread = np.zeros(len(residual))  # variance of the log odds, given the outcome
        for one in self.places:
            for other in self.places:
                spread += scale[one] * scale[other] * inverse[one, other]
        third = weight * (1 - 2 * mean) * spread
        back = inverse @ (scale * self._over_levels(third))
        of_residual = self._over_levels(residual)
        of_level = np.einsum("ij,j,ji->i", product, scale, inverse)
        by_coefficient = residual @ self.design - 0.5 * (
            third @ self.design - (weight * self._of_levels(scale * back)) @ self.design
        )
        by_deviation = []
        for number in range(len(self.sizes)):
            own = self.factor == number
            unit = np.where(own, modes, 0.0)
            direct = self._of_levels(unit)
            moved = np.where(own, of_residual, 0.0) - scale * self._over_levels(weight * direct)
            log_det = of_level[own].sum()
            implicit = third @ direct + back @ moved
            by_deviation.append(of_residual @ unit - log_det - 0.5 * implicit)
        return float(value), np.concatenate([by_coefficient, by_deviation])

    def _find_modes(self, coefficients: Floats, scale: Floats) -> tuple[Floats, _State]:
        """Newton's method with halved steps, from the modes found last."""
        fixed = self.design @ coefficients
        modes = self._modes

        def objective(candidate: Floats) -> float:
            log_odds = fixed + self._of_levels(scale * candidate)
            fitted = self.outcome @ log_odds - np.logaddexp(0, log_odds).sum()
            return float(fitted - candidate @ candidate / 2)

        reached = objective(modes)
        for _ in range(_STEPS):
            self._modes = modes
            state = self._state(coefficients, scale)
            gradient = scale * self._over_levels(self.outcome - state.mean) - modes
            step = cho_solve(cho_factor(state.curvature, lower=True), gradient)
            if gradient @ step < _CONVERGED:
                break
            size = 1.0
            while objective(modes + size * step) < reached and size > _SMALLEST_STEP:
                size /= 2
            modes = modes + size * step
            reached = objective(modes)
        return modes, state

    def _state(self, coefficients: Floats, scale: Floats) -> _State:
        log_odds = self.design @ coefficients + self._of_levels(scale * self._modes)
        mean = expit(log_odds)
        weight = mean * (1 - mean)
        product = self._cross_product(weight)
        curvature = scale[:, None] * product * scale + np.eye(len(scale))
        return _State(log_odds, mean, weight, product, curvature)

    def _covariance(self, state: _State, scale: Floats) -> Floats:
        """Inverse of the curvature by the coefficients, with the random intercepts profiled out."""
        weighted = state.weight[:, None] * self.design
        across = np.stack([scale * self._over_levels(column) for column in weighted.T], axis=1)
        inner = across.T @ cho_solve(cho_factor(state.curvature, lower=True), across)
        inverse: Floats = np.linalg.inv(self.design.T @ weighted - inner)
        return inverse

    def _cross_product(self, weight: Floats) -> Floats:
        """Z' W Z, (Q, Q), of the indicators Z of all levels."""
        count = len(self.factor)
        product = np.zeros(count * count)
        for one in self.places:
            for other in self.places:
                product += np.bincount(one * count + other, weight, count * count)
        return product.reshape(count, count)

    def _of_levels(self, values: Floats) -> Floats:
        """Sum over factors of the value of each observation's level, (n,)."""
        total: Floats = np.sum([values[place] for place in self.places], axis=0)
        return total

    def _over_levels(self, values: Floats) -> Floats:
        """Sum over the observations of each level, (Q,)."""
        total = np.zeros(len(self.factor))
        for place in self.places:
            total += np.bincount(place, values, len(self.factor))
        return total


_STEPS = 100
_CONVERGED = 1e-20
_SMALLEST_STEP = 1e-6
_FLAT = 1e-5
