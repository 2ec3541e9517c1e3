"""The page of a hyperparameter search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vitatt.benchmark.plan import as_option
from vitatt.plotting.sweep import Point, Slice, history_figure, importances_figure, slices_figure
from vitatt.reports.cells import UNDEFINED, Cell, interval, number
from vitatt.reports.page import write_page
from vitatt.reports.section import Column, Plot, Section, Table, plain_table
from vitatt.reports.templates import paragraphs
from vitatt.sweep.outcome import ENOUGH, fold_interval
from vitatt.sweep.parameters import Parameter, Value
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.trials import Trial

_TEMPLATE = "sweep.txt.jinja"
_SUBTITLE = "Search of hyperparameters on inner folds. Research only: not a medical device."


def sweep_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    plan: SweepPlan,
    trials: Sequence[Trial],
    best: Trial,
    outer_fold: int,
    shares: Mapping[str, float],
    command: str,
) -> None:
    """Write the page; an earlier one stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made if it is missing.
        title: Heading of the page.
        facts: Short values by name, shown below the heading.
        plan: The search.
        trials: In order.
        best: The best of them.
        outer_fold: Fold that no trial used.
        shares: Importance of the parameters, highest first; may be empty.
        command: Trains with the best parameters.
    """
    write_page(
        path,
        title=title,
        subtitle=_SUBTITLE,
        facts=facts,
        sections=sweep_sections(plan, trials, best, outer_fold, shares, command),
    )


def sweep_sections(
    plan: SweepPlan,
    trials: Sequence[Trial],
    best: Trial,
    outer_fold: int,
    shares: Mapping[str, float],
    command: str,
) -> list[Section]:
    """The best trial, all trials, each parameter, and importances.

    Args:
        plan: As for `sweep_page`.
        trials: As for `sweep_page`.
        best: As for `sweep_page`.
        outer_fold: As for `sweep_page`.
        shares: As for `sweep_page`.
        command: As for `sweep_page`.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    measured = [trial for trial in trials if trial.folds and trial.state != "failed"]
    points = [Point(one.number, one.means[-1], one.state == "complete") for one in measured]
    around = fold_interval(best)
    assert around is not None, "a complete trial has folds"
    result = paragraphs(
        _TEMPLATE,
        block="result",
        grid=plan.method == "grid",
        tried=len(trials),
        metric=plan.metric,
        value=_with_interval(*around),
        folds=len(best.folds),
        outer_fold=outer_fold,
        alike=sum(around.low <= one.means[-1] <= around.high for one in complete),
        complete=len(complete),
    )
    chosen = [(Cell(name), _shown(value)) for name, value in best.parameters.items()]
    history = Plot(
        history_figure(points, metric=plan.metric, sign=plan.sign),
        f"{plan.metric} of each trial, and the best so far as a line; numbers in the table",
    )
    slices = Plot(
        slices_figure(
            points,
            [_slice(one, measured) for one in plan.parameters if not one.constant],
            metric=plan.metric,
            best=best.number,
        ),
        f"{plan.metric} against the value of each parameter; numbers in the table of trials",
    )
    importance = paragraphs(
        _TEMPLATE, block="importance", shown=bool(shares), complete=len(complete), enough=ENOUGH
    )
    bars = "Bars of the importance of each parameter; numbers in the table"
    return [
        Section(
            "Best parameters",
            result,
            code=command,
            tables=[plain_table(f"Trial {best.number}", ["parameter", "value"], chosen)],
            strong=True,
        ),
        Section(
            "Trials",
            paragraphs(
                _TEMPLATE,
                block="trials",
                metric=plan.metric,
                stopped=any(trial.state == "stopped" for trial in trials),
            ),
            [f"Trial {one.number} failed: {one.reason}" for one in trials if one.state == "failed"],
            tables=[_table(plan, trials, best)],
            plots=[history],
            plots_first=True,
        ),
        Section("Parameters", paragraphs(_TEMPLATE, block="parameters"), plots=[slices]),
        Section(
            "Importance",
            importance,
            tables=[plain_table("Share", ["parameter", "share"], [*shares.items()])]
            if shares
            else [],
            plots=[Plot(importances_figure(shares), bars)] if shares else [],
            plots_first=True,
        ),
    ]


def _table(plan: SweepPlan, trials: Sequence[Trial], best: Trial) -> Table:
    varied = [one.name for one in plan.parameters if not one.constant]
    columns = [
        Column("trial"),
        Column("value", "mean [95 % interval]"),
        Column("state", number=False),
        *(_column(name, trials) for name in varied),
        Column("minutes"),
    ]
    rows = []
    for trial in trials:
        state = (
            f"{trial.state} after {len(trial.folds)}" if trial.state == "stopped" else trial.state
        )
        around = fold_interval(trial)
        rows.append(
            [
                Cell(str(trial.number), trial.number, tag="best" if trial is best else ""),
                Cell(UNDEFINED) if around is None else _with_interval(*around),
                Cell(state),
                *(_shown(trial.parameters[name]) for name in varied),
                number(trial.seconds / 60, 1),
            ]
        )
    at = {n for n, trial in enumerate(trials) if trial is best}
    return Table("All trials", columns, rows, highlighted=at)


def _with_interval(value: float, low: float, high: float) -> Cell:
    """A mean with its interval, without one for a single fold."""
    return number(value) if low != low else interval(value, low, high)


def _column(name: str, trials: Sequence[Trial]) -> Column:
    """The heading of a parameter: its last name, with the groups below it."""
    group, _, last = name.rpartition(".")
    numeric = all(_shown(trial.parameters[name]).value is not None for trial in trials)
    return Column(last, group.removesuffix(".init_args"), number=numeric)


def _shown(value: Value) -> Cell:
    """A parameter with four digits, as the command line takes it."""
    if isinstance(value, bool | str):
        return Cell(as_option(value))
    return Cell(f"{value:.4g}" if isinstance(value, float) else str(value), value)


def _slice(parameter: Parameter, trials: Sequence[Trial]) -> Slice:
    values = [trial.parameters[parameter.name] for trial in trials]
    if parameter.values:
        choices = tuple(as_option(value) for value in parameter.values)
        return Slice(parameter.name, [as_option(value) for value in values], choices=choices)
    numbers = [float(value) for value in values]
    return Slice(parameter.name, numbers, log=parameter.log)
