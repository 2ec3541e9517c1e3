"""The plan of a sweep: the trainings it is made of, and the search among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitatt.benchmark.plan import as_option
from vitatt.models.metrics import direction
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.sweep.parameters import Parameter, Value, read_parameters
from vitatt.types import UsageError
from vitatt.words import did_you_mean

Method = Literal["bayes", "random", "grid"]

METHODS: tuple[Method, ...] = ("bayes", "random", "grid")
GOALS = {"maximize": "max", "minimize": "min"}
ARGS = "${args}"
"""The word of an agent's command that stands for the options of a trial."""

_RANGES: Ranges = {
    "trials": Range(least=1),
    "inner_folds": Range(least=1),
    "threads": Range(least=1),
    "seed": SEED,
}

_FORCED = (
    "--explanations.size=0",
    "--explanation_tests.cases=0",
    "--checkpoint.save_top_k=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.logger=false",
)


@dataclass(frozen=True)
class SweepPlan:
    """Parameters, trainings and place of a search.

    Attributes:
        method: How values are chosen.
        metric: Of the validation runs.
        goal: ``maximize`` or ``minimize``.
        parameters: With their values.
        options: Options of `vitatt fit` for all trainings.
        output: Folder for all results.
        trials: Number of trials; None for all combinations of a grid.
        inner_folds: Inner folds of each trial; None for all.
        seed: Of the search.
        threads: CPU threads of a training.
    """

    method: Method
    metric: str
    goal: str
    parameters: tuple[Parameter, ...]
    options: tuple[str, ...]
    output: Path
    trials: int | None = None
    inner_folds: int | None = None
    seed: int = 0
    threads: int = 1

    @property
    def sign(self) -> int:
        """1 if higher values are better, else -1."""
        return 1 if self.goal == "maximize" else -1

    @property
    def base_options(self) -> list[str]:
        """Options of `vitatt fit` before those of a trial; without figures and checkpoints."""
        return [*self.options, *_FORCED]

    def trial_options(self, parameters: Mapping[str, Value], inner_fold: int) -> list[str]:
        """Options of `vitatt fit` for a trial on an inner fold."""
        return [
            *self.base_options,
            *as_options(parameters),
            f"--data.inner_fold={inner_fold}",
        ]


def as_options(parameters: Mapping[str, Value]) -> list[str]:
    """Parameters as options of the command line."""
    return [f"--{name}={as_option(value)}" for name, value in parameters.items()]


def make_plan(
    *,
    method: str,
    metric: Mapping[str, Any],
    parameters: Mapping[str, Any],
    command: Sequence[str],
    training_options: Sequence[str],
    output: Path,
    trials: int | None,
    inner_folds: int | None,
    seed: int,
    threads: int,
) -> SweepPlan:
    """The plan that a sweep file of W&B describes.

    Args:
        method: ``bayes``, ``random`` or ``grid``.
        metric: Its ``name``, and the ``goal``.
        parameters: By name.
        command: Command of an agent: ``vitatt fit``, options, and ``${args}``.
        training_options: Further options of `vitatt fit`.
        output: Folder for all results.
        trials: Number of trials.
        inner_folds: Inner folds of each trial.
        seed: Of the search.
        threads: CPU threads of a training.

    Raises:
        UsageError: If it is not consistent.
    """
    check_ranges(_RANGES, locals())
    if method not in METHODS:
        raise UsageError(
            f"Expected `method` to be among {', '.join(METHODS)}, but got '{method}'."
            f"{did_you_mean(str(method), METHODS)}"
        )
    name, goal = _metric(metric)
    found = read_parameters(parameters)
    if method == "grid":
        for parameter in found:
            if not parameter.listed:
                raise UsageError(
                    f"Expected `parameters.{parameter.name}` to have `values`, since a grid tries "
                    "all combinations. List them, or choose the method bayes or random."
                )
    elif trials is None:
        raise UsageError(
            f"Expected a number of trials, since the method {method} has no end: add --trials 20, "
            "or `run_cap: 20` to the file."
        )
    options = (*command_options(command), *training_options)
    fixed = [word[2:].partition("=")[0] for word in options if word.startswith("--")]
    for parameter in found:
        for option in fixed:
            if option == parameter.name or option.startswith(f"{parameter.name}."):
                raise UsageError(
                    f"`{parameter.name}` is a parameter of the sweep, but the command line or "
                    f"`command` sets --{option} too. Remove one of them."
                )
    return SweepPlan(
        method=method,
        metric=name,
        goal=goal,
        parameters=found,
        options=options,
        output=output,
        trials=trials,
        inner_folds=inner_folds,
        seed=seed,
        threads=threads,
    )


def command_options(command: Sequence[str]) -> tuple[str, ...]:
    """Options of `vitatt fit` in the command of an agent.

    Raises:
        UsageError: If it is another command.
    """
    words = [str(word) for word in command]
    if words[:2] != ["vitatt", "fit"] or words[-1:] != [ARGS] or words.count(ARGS) > 1:
        raise UsageError(
            f"Expected `command` to be a list that begins with vitatt, fit and ends with {ARGS}, "
            f"but got {words}."
        )
    return tuple(words[2:-1])


def _metric(metric: Mapping[str, Any]) -> tuple[str, str]:
    """Name and goal of the metric.

    Raises:
        UsageError: If one is missing, or the goal makes models worse.
    """
    if set(metric) != {"name", "goal"}:
        raise UsageError(
            "Expected `metric` to have a `name`, such as val/selection, and a `goal`, maximize or "
            f"minimize, but it has {', '.join(metric) or 'nothing'}."
        )
    name, goal = str(metric["name"]), str(metric["goal"])
    if goal not in GOALS:
        raise UsageError(
            f"Expected `metric.goal` to be maximize or minimize, but got '{goal}'."
            f"{did_you_mean(goal, list(GOALS))}"
        )
    if not name.startswith("val/"):
        raise UsageError(
            f"Expected `metric.name` to be a metric of a validation run, such as val/selection, "
            f"but got '{name}'."
        )
    if GOALS[goal] != direction(name):
        other = next(one for one in GOALS if one != goal)
        raise UsageError(
            f"`metric.goal` is {goal}, but a better model has a "
            f"{'lower' if other == 'minimize' else 'higher'} {name}: write `goal: {other}`."
        )
    return name, goal
