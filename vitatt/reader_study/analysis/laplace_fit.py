"""Maximum likelihood and restricted maximum likelihood of a mixed logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.laplace import LaplaceModel, Levels


class Fit(NamedTuple):
    """A model at the maximum of its likelihood.

    Attributes:
        coefficients: Of the columns of the design, (P,), in log odds.
        deviations: Standard deviation of each random factor, (K,), in log odds.
        log_likelihood: The maximum.
    """

    coefficients: Floats
    deviations: Floats
    log_likelihood: float


class RestrictedFit(NamedTuple):
    """A model with the deviations at the maximum of the restricted likelihood.

    Attributes:
        coefficients: At the maximum of the likelihood, given the deviations, (P,), in log odds.
        covariance: Of the coefficients, given the deviations, (P, P).
        deviations: (K,), in log odds.
    """

    coefficients: Floats
    covariance: Floats
    deviations: Floats


def maximum_likelihood(outcome: Floats, design: Floats, factors: Sequence[Levels]) -> Fit:
    """Coefficients and deviations that maximise the likelihood, for likelihood ratios.

    Args:
        outcome: 0 or 1, (n,).
        design: Of full rank, (n, P).
        factors: Level of each observation in each random factor, from 0, each (n,).

    Raises:
        RuntimeError: If the search for the maximum fails.
    """
    model = LaplaceModel(outcome, design, factors, np.zeros((len(outcome), 0)))
    found, value = _maximise(model)
    columns = design.shape[1]
    return Fit(found[:columns], found[columns:], value)


def restricted_likelihood(
    outcome: Floats, design: Floats, factors: Sequence[Levels]
) -> RestrictedFit:
    """Coefficients and their covariance, for intervals.

    Maximum likelihood underestimates the variance between few readers, as it takes no account of
    the coefficients that the same data determine, and so would make intervals too narrow.

    Args:
        outcome: 0 or 1, (n,).
        design: Of full rank, (n, P).
        factors: Level of each observation in each random factor, from 0, each (n,).

    Raises:
        RuntimeError: If the search for the maximum fails.
    """
    none = np.zeros((len(outcome), 0))
    deviations, _ = _maximise(LaplaceModel(outcome, none, factors, design))
    model = LaplaceModel(outcome, design, factors, none)
    found, _ = _maximise(model, deviations)
    coefficients = found[: design.shape[1]]
    information = _information(model, coefficients, deviations)
    return RestrictedFit(coefficients, np.linalg.inv(information).astype(float), deviations)


def _maximise(model: LaplaceModel, given: Floats | None = None) -> tuple[Floats, float]:
    """Coefficients and deviations, (P + K,), at the maximum, and the log likelihood there.

    Args:
        model: Its likelihood is maximised.
        given: Deviations, if they are known, (K,).
    """
    columns, factors = model.design.shape[1], model.num_factors

    def loss(parameters: Floats) -> tuple[float, Floats]:
        value, slope = model.log_likelihood(parameters[:columns], parameters[columns:])
        return -value, -slope

    deviations = np.full(factors, _FIRST_DEVIATION) if given is None else given
    ranges = [(0.0, None)] * factors if given is None else [(one, one) for one in given]
    found = minimize(
        loss,
        np.concatenate([np.zeros(columns), deviations]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None)] * columns + ranges,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6},
    )
    at_bound = (np.arange(len(found.x)) >= columns) & (found.x <= 0) & (found.jac > 0)
    flat = np.abs(np.where(at_bound, 0, found.jac)[: columns + factors * (given is None)])
    # The search may also end because rounding hides any further rise.
    if not found.success and flat.max() > _FLAT * max(1.0, abs(found.fun)):
        raise RuntimeError(f"The mixed logistic regression was not fitted: {found.message}")
    return found.x, -float(found.fun)


def _information(model: LaplaceModel, coefficients: Floats, deviations: Floats) -> Floats:
    """Negative second derivative of the log likelihood by the coefficients, (P, P)."""
    columns = len(coefficients)
    rows = []
    for step in np.eye(columns) * _STEP:
        above, below = (
            model.log_likelihood(coefficients + side * step, deviations)[1][:columns]
            for side in (1, -1)
        )
        rows.append((below - above) / (2 * _STEP))
    information: Floats = np.array(rows, dtype=np.float64)
    return (information + information.T) / 2


_STEP = 1e-4
_FLAT = 1e-5
_FIRST_DEVIATION = 0.5
