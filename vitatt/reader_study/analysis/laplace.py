"""Laplace's approximation of the likelihood of a mixed logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from vitatt.evaluation.bootstrap import Floats

Levels = NDArray[np.int64]


class Modes(NamedTuple):
    """A model at the most probable values of what is integrated out.

    Attributes:
        values: Free coefficients and standardised random intercepts, (F + Q,).
        log_odds: Of the observations, (n,).
        mean: Probability of outcome 1, (n,).
        weight: Variance of the outcome, (n,).
        product: J' W J of the indicators of free coefficients and levels, (F + Q, F + Q).
        curvature: Negative second derivative of the penalised log likelihood, (F + Q, F + Q).
    """

    values: Floats
    log_odds: Floats
    mean: Floats
    weight: Floats
    product: Floats
    curvature: Floats


class LaplaceModel:
    """A logistic regression whose random intercepts are integrated out.

    The log odds of observation i are x_i' beta + f_i' gamma + sum_k sd_k u_k[level of i in factor
    k] with standard normal u. Free coefficients gamma have a flat prior. With the modes of gamma
    and u, and the curvature H of the penalised log likelihood there, the log likelihood is that at
    the modes - u'u / 2 - log det H / 2 (Breslow and Clayton 1993, "Approximate inference in
    generalized linear mixed models", Journal of the American Statistical Association 88, 9-25,
    section 2.1). If all coefficients are free, it is the restricted likelihood of the standard
    deviations, up to a constant.

    Args:
        outcome: 0 or 1, (n,).
        design: Columns of the coefficients beta, (n, P).
        factors: Level of each observation in each random factor, from 0, each (n,).
        free: Columns of the coefficients gamma, (n, F).
    """

    def __init__(
        self, outcome: Floats, design: Floats, factors: Sequence[Levels], free: Floats
    ) -> None:
        self.outcome, self.design, self.free = outcome, design, free
        sizes = [int(levels.max()) + 1 for levels in factors]
        starts = free.shape[1] + np.cumsum([0, *sizes[:-1]])
        self._places = [start + levels for start, levels in zip(starts, factors, strict=True)]
        self._factor = np.repeat(np.arange(-1, len(factors)), [free.shape[1], *sizes])
        self._prior = (self._factor >= 0).astype(np.float64)
        self._values = np.zeros(len(self._factor))
        self.num_factors = len(factors)

    def log_likelihood(self, coefficients: Floats, deviations: Floats) -> tuple[float, Floats]:
        """The log likelihood, and its derivatives by coefficients and deviations, (P + K,)."""
        scale = self.scale_of(deviations)
        modes = self.modes(coefficients, deviations)
        values, log_odds, mean, weight, product, curvature = modes
        factor = cho_factor(curvature, lower=True)
        fitted = self.outcome @ log_odds - np.logaddexp(0, log_odds).sum()
        half_log_det = np.log(np.diag(factor[0])).sum()
        value = fitted - values @ (self._prior * values) / 2 - half_log_det

        inverse = cho_solve(factor, np.eye(len(scale)))
        residual = self.outcome - mean
        third = weight * (1 - 2 * mean) * self._spread(scale[:, None] * inverse * scale)
        back = inverse @ (scale * self._over(third))
        of_residual = self._over(residual)
        of_level = np.einsum("ij,j,ji->i", product, scale, inverse)
        by_coefficient = residual @ self.design - 0.5 * (
            third @ self.design - (weight * self._of(scale * back)) @ self.design
        )
        by_deviation = []
        for number in range(self.num_factors):
            own = self._factor == number
            unit = np.where(own, values, 0.0)
            direct = self._of(unit)
            moved = np.where(own, of_residual, 0.0) - scale * self._over(weight * direct)
            implicit = third @ direct + back @ moved
            by_deviation.append(of_residual @ unit - of_level[own].sum() - 0.5 * implicit)
        return float(value), np.concatenate([by_coefficient, by_deviation])

    def modes(self, coefficients: Floats, deviations: Floats) -> Modes:
        """Newton's method with halved steps, from the modes found last.

        Raises:
            RuntimeError: If it does not converge.
        """
        scale = self.scale_of(deviations)
        fixed = self.design @ coefficients

        def objective(values: Floats) -> float:
            log_odds = fixed + self._of(scale * values)
            fitted = self.outcome @ log_odds - np.logaddexp(0, log_odds).sum()
            return float(fitted - values @ (self._prior * values) / 2)

        values = self._values
        for _ in range(_STEPS):
            state = self._state(fixed, scale, values)
            gradient = scale * self._over(self.outcome - state.mean) - self._prior * values
            step = cho_solve(cho_factor(state.curvature, lower=True), gradient)
            rise = gradient @ step
            if rise < _CONVERGED:
                self._values = values
                return state
            size = 1.0
            # Near the maximum, rounding hides a rise, and whole steps converge.
            while rise > _NEAR and objective(values + size * step) < objective(values):
                size /= 2
            values = values + size * step
        raise RuntimeError(f"The modes were not found in {_STEPS} steps of Newton's method.")

    def scale_of(self, deviations: Floats) -> Floats:
        """Deviation of each level, and 1 of each free coefficient, (F + Q,)."""
        return np.concatenate([deviations, [1.0]])[self._factor]  # the factor of these is -1

    def _state(self, fixed: Floats, scale: Floats, values: Floats) -> Modes:
        log_odds = fixed + self._of(scale * values)
        mean = expit(log_odds)
        weight = mean * (1 - mean)
        product = self._product(weight)
        curvature = scale[:, None] * product * scale + np.diag(self._prior)
        return Modes(values, log_odds, mean, weight, product, curvature)

    def _product(self, weight: Floats) -> Floats:
        count, columns = len(self._factor), self.free.shape[1]
        flat = np.zeros(count * count)
        for number, one in enumerate(self._places):
            for other in self._places[:number]:
                flat += np.bincount(one * count + other, weight, count * count)
        product = flat.reshape(count, count)
        product += product.T
        product[np.diag_indices(count)] = self._over(weight)
        for column in range(columns):
            product[column] = self._over(weight * self.free[:, column])
            product[:, column] = product[column]
        return product

    def _spread(self, covariance: Floats) -> Floats:
        """Variance of each observation's log odds, from the covariance of what it sums, (n,)."""
        columns = self.free.shape[1]
        spread = np.einsum("ij,jk,ik->i", self.free, covariance[:columns, :columns], self.free)
        for one in self._places:
            spread += 2 * np.einsum("ij,ji->i", self.free, covariance[:columns, one])
            for other in self._places:
                spread += covariance[one, other]
        return spread

    def _of(self, values: Floats) -> Floats:
        """Sum of what each observation has, (n,), of values (F + Q,)."""
        total: Floats = self.free @ values[: self.free.shape[1]]
        for place in self._places:
            total = total + values[place]
        return total

    def _over(self, values: Floats) -> Floats:
        """Transpose of `_of`: from values of observations (n,) to (F + Q,)."""
        count = len(self._factor)
        total = np.zeros(count)
        for place in self._places:
            total += np.bincount(place, values, count)
        total[: self.free.shape[1]] = values @ self.free
        return total


_STEPS = 100
_NEAR = 1e-6
_CONVERGED = 1e-18
