"""Tables of arms, from the frame of `score_arms`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from vitatt.evaluation.metrics import CALIBRATION, COMPARED, compared, sensitivities
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.cells import Cell, count, interval
from vitatt.reports.section import Column, Table

SETS = {"all": "all cases", "complete": "complete cases"}
"""Titles of the values of ``cases`` in the frame of arms."""

BY = next(iter(COMPARED))
"""The metric that arms are sorted by."""


def arms_table(
    arms: pl.DataFrame,
    facts: Facts,
    metrics: Sequence[str],
    title: str,
    *,
    only: Sequence[str] | None = None,
    sets: Sequence[str] = tuple(SETS),
) -> Table:
    """Metrics of each arm with intervals, all and complete cases side by side.

    Args:
        arms: As `score_arms` gives it.
        facts: The protocol.
        metrics: Which metrics, from the left.
        title: Caption.
        only: The arms to show, in this order; by default all of them, best first.
        sets: Sets of cases; those that were not scored are left out.
    """
    names = list(only) if only is not None else ranked(arms)
    occurring = [one for one in sets if one in arms["cases"]]
    sizes = {one: arms.filter(cases=one).row(0, named=True) for one in occurring}
    columns = [
        Column(metric, f"{SETS[one]}, {count(sizes[one]['n'])}")
        for metric in metrics
        for one in occurring
    ]
    found = {
        (row["arm"], row["metric"], row["cases"]): interval(row["value"], row["low"], row["high"])
        for row in arms.iter_rows(named=True)
    }
    rows = [
        [
            _head(arm, facts),
            *(found.get((arm, metric, one), Cell("–")) for metric in metrics for one in occurring),
        ]
        for arm in names
    ]
    return Table(title, [Column("arm", number=False), *columns], rows, _reference(names, facts))


def single_table(arms: pl.DataFrame, facts: Facts, metrics: Sequence[str]) -> Table:
    """Metrics of single models, seeds not averaged: mean, lowest and highest of the seeds."""
    scored = arms.filter(pl.col("cases") == "all", pl.col("metric").is_in(list(metrics)))
    found = {
        (row["arm"], row["metric"]): interval(row["single"], row["single_low"], row["single_high"])
        for row in scored.iter_rows(named=True)
    }
    names = ranked(arms)
    seeds = f"mean [lowest, highest] of {len(facts.seeds)} seeds"
    return Table(
        "One model per fold, seeds not averaged, all cases",
        [Column("arm", number=False), *(Column(metric, seeds) for metric in metrics)],
        [[_head(arm, facts), *(found.get((arm, f), Cell("–")) for f in metrics)] for arm in names],
        _reference(names, facts),
        folded=True,
    )


def class_tables(arms: pl.DataFrame, facts: Facts) -> list[Table]:
    """One table each for sensitivity, specificity and AUROC, one column for each class.

    Of two classes, one table of the sensitivity and specificity of the positive one.
    """
    if facts.binary:
        return [_binary_table(arms, facts)]
    counts = facts.class_counts
    others = {name: facts.cases - counts[name] for name in facts.classes}
    notes = {
        "sensitivity": {name: count(counts[name]) for name in facts.classes},
        "specificity": {name: f"{count(others[name])} others" for name in facts.classes},
        "AUROC": {name: f"{count(counts[name])} and {others[name]:,}" for name in facts.classes},
    }
    tables = []
    for kind, note in notes.items():
        metrics = [f"{kind}/{name}" for name in facts.classes]
        title = f"{kind[0].upper()}{kind[1:]} of each class, all cases: value [95 % interval]"
        table = arms_table(arms, facts, metrics, title, sets=("all",))
        heads = [
            Column(name, f"{facts.class_titles.get(name, name)}, {note[name]}") for name in note
        ]
        tables.append(Table(title, [table.columns[0], *heads], table.rows, table.highlighted))
    return tables


def _binary_table(arms: pl.DataFrame, facts: Facts) -> Table:
    positive = facts.positive_class
    assert positive is not None
    found = facts.class_counts[positive.name]
    notes = {"sensitivity": count(found), "specificity": f"{count(facts.cases - found)} others"}
    title = f"Sensitivity and specificity of {positive.title}, all cases: value [95 % interval]"
    metrics = [f"{kind}/{positive.name}" for kind in notes]
    table = arms_table(arms, facts, metrics, title, sets=("all",))
    heads = [Column(kind, note) for kind, note in notes.items()]
    return Table(title, [table.columns[0], *heads], table.rows, table.highlighted)


def compared_metrics(arms: pl.DataFrame, facts: Facts) -> list[str]:
    """Metrics by which arms are compared that were scored, in the order of the report."""
    scored = set(arms["metric"])
    return [name for name in compared(facts.classes, facts.positive_class) if name in scored]


def main_metrics(arms: pl.DataFrame, facts: Facts) -> list[str]:
    """Main metrics that were scored, in the order of the report."""
    scored = set(arms["metric"])
    more = sensitivities(facts.classes, facts.positive_class)
    return [*compared_metrics(arms, facts), *(name for name in more if name in scored)]


def calibration_metrics(arms: pl.DataFrame) -> list[str]:
    """Metrics of the probabilities, before and after temperature scaling."""
    names = arms["metric"].unique(maintain_order=True)
    return [name for one in CALIBRATION for name in names if name.startswith(one)]


def ranked(arms: pl.DataFrame, metric: str = BY) -> list[str]:
    """Arms by a metric over all cases, highest first, undefined ones last."""
    scored = arms.filter(pl.col("cases") == "all", pl.col("metric") == metric)
    return scored.sort("value", descending=True, nulls_last=True)["arm"].to_list()


def _head(arm: str, facts: Facts) -> Cell:
    is_reference = arm == facts.reference and facts.compared
    return Cell(facts.arm_title(arm), tag="reference" if is_reference else "")


def _reference(names: Sequence[str], facts: Facts) -> frozenset[int]:
    if not facts.compared or facts.reference not in names:
        return frozenset()
    return frozenset({list(names).index(facts.reference)})
