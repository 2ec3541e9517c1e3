"""Checks of a sweep against the options of `vitatt fit`, before anything is trained."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from vitatt.benchmark.plan import as_option
from vitatt.benchmark.record import flat
from vitatt.benchmark.training import ParsedTraining, quiet
from vitatt.sweep.plan import SweepPlan
from vitatt.types import UsageError
from vitatt.words import did_you_mean

_SECTIONS = ("model", "data", "token_cache", "early_stopping", "trainer")
"""Sections of a configuration whose settings can be searched."""

_PROTOCOL = (
    "data.allow_ungrouped",
    "data.cache_dir",
    "data.dataset",
    "data.fold",
    "data.inner_fold",
    "data.inner_folds",
    "data.num_folds",
    "data.num_workers",
    "data.predict_root",
    "data.root",
    "data.seed",
    "data.task",
)

_OF_TRAINER = (
    "accumulate_grad_batches",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "max_epochs",
    "max_steps",
    "precision",
)
"""Settings of the trainer that change a training and leave it deterministic."""


def checked_config(plan: SweepPlan) -> dict[str, Any]:
    """The configuration that all trials start from, if every value of the sweep is possible.

    Raises:
        UsageError: If a parameter is none of `vitatt fit`, cannot be searched, or has a value that
            is refused, or a training would depend on the time that it takes.
    """
    config = parsed(plan.base_options, "The trainings of the sweep")
    if config["trainer"]["max_time"] is not None:
        raise UsageError(
            "Expected a sweep without `trainer.max_time`: with it a trial's metric depends on the "
            "load of the machine. Bound the training by `trainer.max_epochs`."
        )
    known = flat(config)
    for parameter in plan.parameters:
        name = parameter.name
        if name not in known and not any(key.startswith(f"{name}.") for key in known):
            raise UsageError(
                f"`parameters.{name}` is no option of these trainings."
                f"{did_you_mean(name, list(known)) or _siblings(name, known)}"
            )
        _require_searchable(name)
        for value in parameter.extremes:
            option = f"--{name}={as_option(value)}"
            parsed([*plan.base_options, option], f"`parameters.{name}`, value {value}")
    folds = config["data"]["inner_folds"]
    if plan.inner_folds is not None and plan.inner_folds > folds:
        raise UsageError(
            f"Expected `inner_folds` to be at most {folds}, the number of parts into which "
            f"`data.inner_folds` divides the training groups, but got {plan.inner_folds}."
        )
    return config


def parsed(options: list[str], what: str) -> dict[str, Any]:
    """The configuration of a training from options of `vitatt fit`.

    Args:
        options: The options.
        what: What they are of, for the message.

    Raises:
        UsageError: If they are refused.
    """
    with quiet(), refusals(what):
        return ParsedTraining(options).plain()


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Raise the parser's refusal of options, which would end the process, as an error.

    Args:
        what: What the options are of, for the message.

    Raises:
        UsageError: If options are refused in the block.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as error:
        reason = " ".join(said.getvalue().partition("error: ")[2].split())
        raise UsageError(f"{what} cannot be used: {reason}") from error
    except UsageError as error:
        raise UsageError(f"{what} cannot be used: {error}") from error


def _require_searchable(name: str) -> None:
    """See that trials with different values of an option are comparable and deterministic.

    Raises:
        UsageError: If they are not.
    """
    section, _, key = name.partition(".")
    if section == "trainer" and key not in _OF_TRAINER:
        raise UsageError(
            f"`parameters.{name}` cannot be searched: a trial must have the same result on every "
            f"call. Of the trainer there can be: {', '.join(_OF_TRAINER)}."
        )
    if name in _PROTOCOL:
        raise UsageError(
            f"`parameters.{name}` cannot be searched: it decides which cases validate, or what is "
            "read, and not how good a model is."
        )
    if section not in _SECTIONS or not key:
        raise UsageError(
            f"`parameters.{name}` cannot be searched. Searched are options of: "
            f"{', '.join(_SECTIONS)}."
        )


def _siblings(name: str, known: dict[str, Any]) -> str:
    """A sentence that lists the options next to a wrong one."""
    group = name.rpartition(".")[0]
    found = [key for key in known if key.startswith(f"{group}.")] if group else []
    return f" There are: {', '.join(found)}." if found else ""
