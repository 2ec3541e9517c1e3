"""The sections of the report of a benchmark or of a test run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from vitatt.evaluation.subgroups import FEW_CASES, FEW_OF_CLASS
from vitatt.reports.benchmark.comparisons import pairs_tables, subgroup_tables
from vitatt.reports.benchmark.experiments import experiments_section
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.findings import findings, question
from vitatt.reports.benchmark.plots import critical_difference, forests, reliability
from vitatt.reports.benchmark.prose import (
    complete_cases,
    limits,
    metric_meanings,
    protocol_points,
)
from vitatt.reports.benchmark.tables import (
    arms_table,
    calibration_metrics,
    class_tables,
    main_metrics,
    single_table,
)
from vitatt.reports.cells import Cell
from vitatt.reports.section import Column, Section, Table
from vitatt.reports.templates import paragraphs

Tables = Mapping[str, pl.DataFrame]
"""``arms``, ``subgroups`` and ``gaps``; of a benchmark also ``pairs`` and ``ranks``."""


def report_sections(facts: Facts, predictions: pl.DataFrame, tables: Tables) -> list[Section]:
    """All sections, in the order of the page.

    Args:
        facts: The protocol.
        predictions: Out-of-fold predictions.
        tables: Of these predictions.
    """
    arms = tables["arms"]
    metrics = main_metrics(arms, facts)
    sections = [
        Section("Question", question(facts), findings(facts, tables)),
        *experiments_section(facts, tables, metrics),
        _protocol(facts, arms),
    ]
    if facts.checks:
        sections.append(_checks(facts))
    sections.append(_metrics(facts, arms))
    if facts.compared:
        sections.append(_differences(facts, tables))
    sections += [
        Section(
            "Calibration",
            _introduction("calibration", subject=_subject(facts)),
            plots=[reliability(predictions, facts)],
        ),
        Section("Classes", _introduction("classes"), tables=class_tables(arms, facts)),
    ]
    if tables["subgroups"].height:
        sections.append(_subgroups(facts, tables))
    return [*sections, Section("Limits", points=limits(facts, arms, tables["subgroups"]))]


def _introduction(section: str, **values: Any) -> list[str]:
    return paragraphs("benchmark/sections.txt.jinja", block=section, **values)


def _protocol(facts: Facts, arms: pl.DataFrame) -> Section:
    metrics = [*main_metrics(arms, facts), *calibration_metrics(arms)]
    return Section(
        "Protocol",
        ["How the metrics were measured, and what each of them means."],
        [*protocol_points(facts, complete_cases(arms)), *metric_meanings(metrics, facts)],
        facts.command,
        tables=[] if facts.one_model else [_arms(facts)],
    )


def _arms(facts: Facts) -> Table:
    rows = [
        [Cell(one["title"]), Cell(name), Cell(one["source"] or "–")]
        for name, one in facts.arms.items()
    ]
    columns = [Column(head, number=False) for head in ("arm", "name", "source of the method")]
    highlighted = {n for n, name in enumerate(facts.arms) if name == facts.reference}
    return Table("Arms", columns, rows, highlighted)


def _checks(facts: Facts) -> Section:
    rows = [
        [Cell("ok" if one["ok"] else "note"), Cell(one["check"]), Cell(one["outcome"])]
        for one in facts.checks
    ]
    noted = {n for n, one in enumerate(facts.checks) if not one["ok"]}
    columns = [Column(head, number=False) for head in ("result", "looked for", "found")]
    return Section(
        "Leaks checked",
        _introduction("leaks", checks=len(facts.checks), notes=len(noted)),
        tables=[Table("Checks", columns, rows, noted)],
    )


def _metrics(facts: Facts, arms: pl.DataFrame) -> Section:
    metrics, calibration = main_metrics(arms, facts), calibration_metrics(arms)
    tables = [
        arms_table(arms, facts, metrics, "Main metrics: value [95 % interval]"),
        arms_table(arms, facts, calibration, "Probabilities: value [95 % interval]"),
    ]
    if not facts.one_model:
        tables.append(single_table(arms, facts, metrics))
    return Section(
        "Metrics",
        _introduction("metrics", facts=facts, reference=facts.arm_title(facts.reference)),
        tables=tables,
        plots=forests(arms, facts, metrics) if facts.compared else [],
    )


def _differences(facts: Facts, tables: Tables) -> Section:
    return Section(
        "Differences",
        _introduction("differences", facts=facts, reference=facts.arm_title(facts.reference)),
        tables=pairs_tables(tables["pairs"], facts),
        plots=critical_difference(tables["ranks"], facts),
    )


def _subgroups(facts: Facts, tables: Tables) -> Section:
    return Section(
        "Subgroups",
        _introduction(
            "subgroups",
            subject=_subject(facts),
            few_cases=FEW_CASES,
            few_of_class=FEW_OF_CLASS,
        ),
        tables=subgroup_tables(tables["subgroups"], tables["gaps"], facts),
    )


def _subject(facts: Facts) -> str:
    return "This model" if facts.one_model else f"The reference, {facts.arm_title(facts.reference)}"
