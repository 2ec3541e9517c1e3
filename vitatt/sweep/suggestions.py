"""Parameters of the next trial, by Optuna.

They follow from the seed, the trial's number and the earlier trials alone, so that a search that
was interrupted goes on as it would have.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vitatt.sweep.parameters import Parameter, Value
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.trials import Trial
from vitatt.types import UsageError

if TYPE_CHECKING:
    import optuna

AT_RANDOM = 5
"""Trials before the method bayes learns from earlier ones."""

_STATES = {"complete": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}


def require_optuna() -> None:
    """See that Optuna is installed.

    Raises:
        UsageError: If it is not.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UsageError(
            "An offline search needs Optuna: pip install 'vitatt[sweep]', or let W&B search: add "
            "--engine wandb."
        )


def suggest(plan: SweepPlan, earlier: Sequence[Trial]) -> dict[str, Value]:
    """Parameters of the trial after some earlier ones.

    The method bayes is the tree-structured Parzen estimator of Bergstra et al. (NeurIPS 2011),
    which models all parameters together.

    Args:
        plan: The search.
        earlier: All trials before, none of them running.
    """
    number = len(earlier)
    if plan.method == "grid":
        return combinations(plan.parameters)[number]
    from optuna.samplers import BaseSampler, RandomSampler, TPESampler

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    sampler: BaseSampler = RandomSampler(seed=seed)
    if plan.method == "bayes":
        sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=AT_RANDOM)
    study = study_of(plan, earlier, sampler)
    drawn = study.ask(distributions(plan.parameters)).params
    return {one.name: _value(one, drawn.get(one.name, 0)) for one in plan.parameters}


def combinations(parameters: Sequence[Parameter]) -> list[dict[str, Value]]:
    """All combinations of the values of a grid, the last parameter changing fastest."""
    names = [parameter.name for parameter in parameters]
    listed = [parameter.listed for parameter in parameters]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*listed)]


def study_of(
    plan: SweepPlan, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    """Trials as a study of Optuna in memory; values of a list stand there by their place in it.

    Args:
        plan: The search.
        trials: None of them running.
        sampler: Of the study.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=plan.goal, sampler=sampler)
    space = distributions(plan.parameters)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[_STATES[trial.state]],
                value=trial.value if trial.state == "complete" else None,
                params=_placed(plan.parameters, trial.parameters),
                distributions=space,
                intermediate_values=dict(enumerate(trial.means)),
            )
        )
    return study


def distributions(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Optuna's distributions of the parameters that are not constant, by name."""
    return {one.name: _distribution(one) for one in parameters if not one.constant}


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.values:
        return CategoricalDistribution(range(len(parameter.values)))
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _value(parameter: Parameter, drawn: int | float) -> Value:
    """The value that Optuna drew: a place in the list, or a number; steps without 0.1 + 0.2."""
    if parameter.values:
        return parameter.values[int(drawn)]
    return drawn if parameter.step is None else round(drawn, 12)


def _placed(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, Any]:
    return {
        one.name: one.values.index(values[one.name]) if one.values else values[one.name]
        for one in parameters
        if not one.constant
    }
