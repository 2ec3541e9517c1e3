"""The outcome of a sweep: the table of trials, the best parameters, and their importance."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from scipy import stats

from vitatt.benchmark.plan import as_option
from vitatt.evaluation.bootstrap import Interval
from vitatt.sweep.parameters import Value
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.suggestions import study_of
from vitatt.sweep.trials import Trial

ENOUGH = 4
"""Complete trials that importances are computed from."""

FEW = 3
"""Inner folds from which an interval is computed: that of two would be 18 times their distance."""

_TREES_SEED = 0


def trials_table(plan: SweepPlan, trials: Sequence[Trial], num_folds: int) -> pl.DataFrame:
    """One row for each trial: state, mean, interval, parameters and the metric of each inner fold.

    Args:
        plan: The search.
        trials: In order.
        num_folds: Inner folds of a complete trial.
    """
    rows = []
    for trial in trials:
        mean, low, high = fold_interval(trial) or (None, None, None)
        values = [fold.value for fold in trial.folds]
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                "value": mean,
                "low": low,
                "high": high,
                **{name: as_option(value) for name, value in trial.parameters.items()},
                **{
                    f"inner_fold_{number}": values[number] if number < len(values) else None
                    for number in range(num_folds)
                },
                "seconds": trial.seconds,
                "reason": trial.reason,
            }
        )
    numbers = ("value", "low", "high", "seconds", *(f"inner_fold_{n}" for n in range(num_folds)))
    types: dict[str, Any] = {"trial": pl.Int64} | dict.fromkeys(numbers, pl.Float64)
    made = pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)
    return made.with_columns(pl.col("low", "high").fill_nan(None))


def fold_interval(trial: Trial) -> Interval | None:
    """Mean over the inner folds with its 95 % t-interval; bounds are NaN below `FEW` folds.

    Training splits overlap, so that it is narrower than an interval of independent folds (Bengio
    and Grandvalet, JMLR 2004).
    """
    values = [fold.value for fold in trial.folds]
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) < FEW:
        return Interval(mean, math.nan, math.nan)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Interval(mean, mean - half, mean + half)


def importances(plan: SweepPlan, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of the variance of the metric that each parameter explains alone, highest first.

    Functional ANOVA over a random forest (Hutter et al., ICML 2014), by Optuna. Empty with fewer
    than `ENOUGH` complete trials, or if all have the same mean.
    """
    means = [trial.value for trial in trials if trial.state == "complete"]
    if len(means) < ENOUGH or len(set(means)) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(seed=_TREES_SEED)
    found = get_param_importances(study_of(plan, trials), evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def overlay(parameters: Mapping[str, Value], config: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a configuration that follows the one of the sweep.

    Args:
        parameters: By name.
        config: The configuration that all trials started from, for the classes of objects.
    """
    made: dict[str, Any] = {}
    for name, value in parameters.items():
        place, known = made, config
        *groups, last = name.split(".")
        for group in groups:
            place, known = place.setdefault(group, {}), known[group]
            if "class_path" in known:
                place["class_path"] = known["class_path"]
        place[last] = value
    return made


def overlay_text(plan: SweepPlan, best: Trial, config: Mapping[str, Any]) -> str:
    """The file of the best parameters, for `vitatt fit` after the configuration of the sweep."""
    head = (
        f"# Trial {best.number} of a sweep: {plan.metric} {best.value:.4f}, mean over "
        f"{len(best.folds)} inner folds.\n# Use: {fit_command(plan, Path('best.yaml'))}\n"
    )
    return head + yaml.safe_dump(overlay(best.parameters, config), sort_keys=False)


def fit_command(plan: SweepPlan, best: Path) -> str:
    """The command that trains with the best parameters."""
    return shlex.join(["vitatt", "fit", *plan.options, "--config", str(best)])
