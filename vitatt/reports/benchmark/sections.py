"""The sections of a report, of a benchmark or of one test run, from facts, frames and tables."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from vitatt.evaluation.subgroups import FEW_CASES, FEW_OF_CLASS
from vitatt.reports.benchmark.comparisons import pairs_tables, subgroup_tables
from vitatt.reports.benchmark.experiments import experiments_section
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.findings import findings, question
from vitatt.reports.benchmark.plots import critical_difference, forests, reliability
from vitatt.reports.benchmark.tables import (
    arms_table,
    calibration_metrics,
    class_tables,
    main_metrics,
    single_table,
)
from vitatt.reports.benchmark.words import limits, metric_meanings, protocol_points
from vitatt.reports.cells import Cell
from vitatt.reports.page import Column, Section, Table

Tables = Mapping[str, pl.DataFrame]
"""``arms``, ``subgroups`` and ``gaps``; of a benchmark also ``pairs`` and ``ranks``."""


def report_sections(facts: Facts, predictions: pl.DataFrame, tables: Tables) -> list[Section]:
    """All sections, in the order of the page.

    Args:
        facts: The protocol.
        predictions: Out-of-fold, as a benchmark pools them.
        tables: Of these predictions.
    """
    arms = tables["arms"]
    metrics = main_metrics(arms)
    calibration = calibration_metrics(arms)
    complete = arms.filter(cases="complete")["n"]
    sections = [
        Section("Question", [question(facts)], findings(facts, tables)),
        *experiments_section(facts, tables, metrics),
        Section(
            "Protocol",
            ["What was done, and what each metric means."],
            [
                *protocol_points(facts, complete[0] if len(complete) else None),
                *metric_meanings([*metrics, *calibration], facts),
            ],
            facts.command,
            tables=[] if facts.one_model else [_arms(facts)],
        ),
    ]
    if facts.checks:
        sections.append(_checks(facts))
    sections.append(
        Section(
            "Metrics",
            [_how_to_read(facts)],
            tables=[
                arms_table(arms, facts, metrics, "Main metrics: value [95 % interval]"),
                arms_table(arms, facts, calibration, "Probabilities: value [95 % interval]"),
                *([] if facts.one_model else [single_table(arms, facts, metrics)]),
            ],
            plots=forests(arms, facts, metrics) if facts.compared else [],
        )
    )
    if facts.compared:
        sections.append(_differences(facts, tables))
    sections += [
        Section(
            "Calibration",
            [
                f"{_subject(facts)}: of the predictions made with a confidence of 0.8, 80 % should "
                "be right. Above the diagonal the model is too careful, below it too sure."
            ],
            plots=[reliability(predictions, facts)],
        ),
        Section(
            "Classes",
            [
                "A case is given to the class with the highest probability. Sensitivity: share of "
                "the class's cases that are given to it. Specificity: share of all other cases "
                "that are not."
            ],
            tables=class_tables(arms, facts),
        ),
    ]
    if tables["subgroups"].height:
        sections.append(
            Section(
                "Subgroups",
                [
                    f"{_subject(facts)}, all cases. Subgroups marked small have fewer than "
                    f"{FEW_CASES} cases, or fewer than two classes with at least {FEW_OF_CLASS}: "
                    "they are shown, but gaps leave them out, as they do cases without a value. A "
                    "subgroup's metric is over the classes that occur in it."
                ],
                tables=subgroup_tables(tables["subgroups"], tables["gaps"], facts),
            )
        )
    return [*sections, Section("Limits", points=limits(facts, arms, tables["subgroups"]))]


def _arms(facts: Facts) -> Table:
    rows = [
        [Cell(one["title"]), Cell(name), Cell(one["source"] or "–")]
        for name, one in facts.arms.items()
    ]
    columns = [Column(head, number=False) for head in ("arm", "name", "source of the method")]
    highlighted = frozenset(n for n, name in enumerate(facts.arms) if name == facts.reference)
    return Table("Arms", columns, rows, highlighted)


def _checks(facts: Facts) -> Section:
    rows = [
        [Cell("ok" if one["ok"] else "note"), Cell(one["check"]), Cell(one["outcome"])]
        for one in facts.checks
    ]
    notes = sum(not one["ok"] for one in facts.checks)
    columns = [Column(head, number=False) for head in ("result", "looked for", "found")]
    return Section(
        "Leaks checked",
        [
            f"{len(facts.checks)} ways in which a diagnosis could leak into training were looked "
            f"for; {notes or 'none'} of them {'needs' if notes == 1 else 'need'} a note."
        ],
        tables=[
            Table(
                "Checks",
                columns,
                rows,
                frozenset(n for n, one in enumerate(facts.checks) if not one["ok"]),
            )
        ],
    )


def _how_to_read(facts: Facts) -> str:
    if facts.one_model:
        return "Each metric with its 95 % interval. A dash: not defined on these cases."
    return (
        "Probabilities are averaged over the seeds. The highlighted row is the reference, "
        f"{facts.arm_title(facts.reference)}. Headings sort. A dash: not defined on these cases."
    )


def _differences(facts: Facts, tables: Tables) -> Section:
    return Section(
        "Differences",
        [
            f"Each arm less {facts.arm_title(facts.reference)}, on the same cases. The 95 % "
            f"interval resamples {facts.group}s; p compares the trainings fold by fold, and p "
            "after Holm's correction allows for all arms being looked at."
        ],
        tables=pairs_tables(tables["pairs"], facts),
        plots=critical_difference(tables["ranks"], facts),
    )


def _subject(facts: Facts) -> str:
    return "This model" if facts.one_model else f"The reference, {facts.arm_title(facts.reference)}"
