"""A line for each trial that ended."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from vitatt.sweep.plan import SweepPlan, as_options
from vitatt.sweep.trials import Trial, best_of


def progress_line(plan: SweepPlan, trials: Sequence[Trial], total: int) -> str:
    """Number, value and parameters of the last trial, the best so far, and the minutes left.

    Args:
        plan: The search.
        trials: Those that ended, in order.
        total: Number of trials of the search.
    """
    last, best = trials[-1], best_of(trials, plan.sign)
    if last.state == "failed":
        outcome = f"failed ({last.reason})"
    else:
        outcome = f"{plan.metric} {last.value:.4f}"
    if last.state == "stopped":
        outcome += f", stopped after {_folds(len(last.folds))}"
    parameters = " ".join(word.removeprefix("--") for word in as_options(last.parameters))
    parts = [f"trial {last.number} ({len(trials)} of {total}): {outcome}", parameters]
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    if (left := total - len(trials)) > 0:
        minutes = left * statistics.fmean(trial.seconds for trial in trials) / 60
        parts.append(f"about {minutes:.0f} min left" if minutes >= 1 else "less than 1 min left")
    return " | ".join(parts)


def _folds(count: int) -> str:
    return "1 inner fold" if count == 1 else f"{count} inner folds"
