"""The search: trial after trial over inner folds, each finished training written at once."""

from __future__ import annotations

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from vitatt.benchmark.training import NetworkTraining
from vitatt.callbacks.divergence import StopAtDivergence
from vitatt.callbacks.kept_metric import KeptMetric
from vitatt.models.metrics import check_monitor
from vitatt.sweep.checks import refusals
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.suggestions import combinations, suggest
from vitatt.sweep.trials import FoldResult, Trial, TrialFolder
from vitatt.types import DataError, UsageError

COMPARED = 5
"""Complete trials that are needed before another one is stopped early."""


def num_trials(plan: SweepPlan) -> int:
    """Number of trials of a search."""
    if plan.method != "grid":
        assert plan.trials is not None, "make_plan has checked it"
        return plan.trials
    every = len(combinations(plan.parameters))
    return every if plan.trials is None else min(plan.trials, every)


def check_trainings(plan: SweepPlan) -> NetworkTraining:
    """Make the first training, so that data or a metric that cannot be used end the search first.

    Raises:
        UsageError: If a training cannot be made, or does not log the metric.
    """
    training = NetworkTraining([*plan.base_options, "--data.inner_fold=0"], last=True)
    check_monitor(plan.metric, training.model.task, "metric.name")
    training.datamodule.setup("fit")
    return training


def search(
    plan: SweepPlan,
    config: dict[str, Any],
    folder: TrialFolder,
    report: Callable[[Sequence[Trial]], None],
) -> list[Trial]:
    """Run all trials that are not finished.

    Args:
        plan: The search.
        config: The configuration that all trials start from.
        folder: Of finished and unfinished trials.
        report: Called with all trials after each that ended.

    Returns:
        All trials in the folder.
    """
    torch.set_num_threads(plan.threads)
    trials = folder.read()
    ended = [trial for trial in trials if trial.state != "running"]
    unfinished = trials[len(ended) :]
    while unfinished or len(ended) < num_trials(plan):
        trial = unfinished.pop() if unfinished else Trial(len(ended), suggest(plan, ended))
        ended.append(_run(plan, config, folder, trial, ended))
        report(ended)
    return ended


def is_worse(trial: Trial, earlier: Sequence[Trial], sign: int) -> bool:
    """Whether a trial's mean is worse than the median of earlier ones over the same inner folds.

    Never so before `COMPARED` trials are complete. The rule is the median stopping rule of Golovin
    et al. (Google Vizier, KDD 2017), with inner folds in the place of steps.

    Args:
        trial: With at least one finished training.
        earlier: Trials before.
        sign: 1 if higher values are better, else -1.
    """
    if sum(other.state == "complete" for other in earlier) < COMPARED:
        return False
    count = len(trial.folds)
    means = [other.means[count - 1] for other in earlier if len(other.folds) >= count]
    return sign * trial.means[-1] < sign * statistics.median(means)


def _run(
    plan: SweepPlan,
    config: dict[str, Any],
    folder: TrialFolder,
    trial: Trial,
    earlier: Sequence[Trial],
) -> Trial:
    """A trial with the trainings that it lacks; each is written as it is finished.

    Raises:
        DataError: If the data cannot be read any more.
    """
    count = plan.inner_folds or config["data"]["inner_folds"]
    folder.write(trial)
    while trial.state == "running":
        inner_fold = len(trial.folds)
        try:
            result = _train(plan, config["checkpoint"]["monitor"], trial, inner_fold)
        except (UsageError, torch.OutOfMemoryError) as error:
            if isinstance(error, DataError):
                # Raises if the data are the cause, such as a disk that is gone, and not the values.
                check_trainings(plan)
            reason = " ".join(str(error).split())
            trial = dataclasses.replace(
                trial, state="failed", reason=f"inner fold {inner_fold}: {reason}"
            )
        else:
            trial = dataclasses.replace(trial, folds=(*trial.folds, result))
            if len(trial.folds) == count:
                trial = dataclasses.replace(trial, state="complete")
            elif plan.method != "grid" and is_worse(trial, earlier, plan.sign):
                trial = dataclasses.replace(trial, state="stopped")
        folder.write(trial)
    return trial


def _train(plan: SweepPlan, monitor: str | None, trial: Trial, inner_fold: int) -> FoldResult:
    """Train on an inner fold's training split, and validate on the fold; no test case is used.

    Raises:
        UsageError: If the training diverges, or cannot be done with these parameters.
        KeyboardInterrupt: After Ctrl-C.
    """
    gc.collect()  # model, trainer and data of the training before are in reference cycles
    start = time.monotonic()
    kept = KeptMetric(plan.metric, monitor)
    with refusals("These parameters"):
        training = NetworkTraining(
            plan.trial_options(trial.parameters, inner_fold),
            last=True,
            callbacks=[StopAtDivergence(), kept],
        )
    try:
        training.fit()
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from error
    if math.isnan(kept.value):
        raise UsageError(f"{plan.metric} is undefined after epoch {kept.epoch}.")
    return FoldResult(inner_fold, kept.value, kept.epoch, round(time.monotonic() - start, 1))
