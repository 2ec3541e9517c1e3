"""Sections on how far the primary result holds: other analyses, periods, precision, limits."""

from __future__ import annotations

from vitatt.reader_study.outcome.sensitivity import FAST_SECONDS
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.cells import Cell, cell, number, p_value
from vitatt.reports.reader_study.names import capital, is_simulated, names_of
from vitatt.reports.reader_study.result_tables import value_cell
from vitatt.reports.section import Column, Section, Table, plain_table
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/robustness.txt.jinja"


def sensitivity_section(outcome: StudyOutcome) -> Section:
    """The primary contrast by other analyses, and effects of periods."""
    manifest = outcome.record.manifest
    names = names_of(manifest)
    rows = [
        [
            Cell(capital(row["analysis"])),
            cell(row["readers"]),
            cell(row["readings"]),
            value_cell(row),
            p_value(row["p"]),
        ]
        for row in outcome.sensitivity.iter_rows(named=True)
    ]
    columns = [
        Column("analysis", number=False),
        Column("readers"),
        Column("readings"),
        Column("difference", f"[{names.percent}]"),
        Column("p"),
    ]
    tables = [Table("Primary contrast by other analyses", columns, rows, highlighted={0})]
    if outcome.periods is not None:
        adjusted = [
            [
                Cell(capital(row["analysis"])),
                cell(row["readers"]),
                value_cell(row),
                p_value(row["p"]),
            ]
            for row in outcome.periods.adjusted.iter_rows(named=True)
        ]
        heads = [columns[0], columns[1], *columns[3:]]
        tables.append(Table("Primary contrast, adjusted for period", heads, adjusted))
        tests = [
            [
                Cell(capital(row["hypothesis"])),
                number(row["f"], 2),
                Cell("–" if row["df1"] is None else f"{row['df1']:.0f}; {row['df2']:.0f}"),
                p_value(row["p"]),
            ]
            for row in outcome.periods.tests.iter_rows(named=True)
        ]
        heads = [Column("hypothesis", number=False), Column("F")]
        heads += [Column("degrees of freedom", number=False), Column("p")]
        tables.append(Table("Period and carry-over", heads, tests))
    return Section(
        "Sensitivity analysis",
        paragraphs(
            _TEMPLATE,
            block="sensitivity",
            metric=manifest.analysis.primary_metric,
            crossover=outcome.periods is not None,
            fast=FAST_SECONDS,
        ),
        tables=tables,
    )


def precision_section(outcome: StudyOutcome) -> Section:
    """Power as planned, and the width of the interval obtained."""
    manifest = outcome.record.manifest
    power, names = manifest.power, names_of(manifest)
    row = outcome.results.primary.row(0, named=True)
    half = None if row["low"] is None else (row["high"] - row["low"]) / 2
    assumed = power.assumptions.get("mean difference")
    assumed = float(assumed) if isinstance(assumed, (int, float)) else None
    rows = [
        ("power", Cell(f"{100 * power.value:.0f} %", power.value), None),
        ("difference", number(assumed), number(row["value"])),
        (f"half width of the {names.percent} interval", None, number(half)),
        ("readers", len(manifest.readers), int(outcome.results.readers["complete"].sum())),
        ("readings", manifest.stopping.readings, outcome.record.readings.height),
    ]
    return Section(
        "Power and precision",
        paragraphs(
            _TEMPLATE,
            block="precision",
            power=power,
            half=number(half).text,
            covers=None
            if assumed is None or row["low"] is None
            else row["low"] <= assumed <= row["high"],
        ),
        tables=[
            plain_table("Planned and obtained", ("quantity", "planned, assumed", "obtained"), rows),
            plain_table(
                "Assumptions of the power",
                ("assumption", "value"),
                list(power.assumptions.items()),
                folded=True,
            ),
        ],
    )


def limits_section(outcome: StudyOutcome) -> Section:
    """Limits of the study."""
    manifest = outcome.record.manifest
    return Section(
        "Limits",
        points=paragraphs(
            _TEMPLATE,
            block="limits",
            manifest=manifest,
            names=names_of(manifest),
            simulated=is_simulated(manifest),
            few=[
                names_of(manifest).band(row["experience"])
                for row in outcome.flow.iter_rows(named=True)
                if row["experience"] != "all" and row["complete"] < 5
            ],
            wrong=sum(not case.stratum.ai_correct for case in manifest.cases),
        ),
    )
