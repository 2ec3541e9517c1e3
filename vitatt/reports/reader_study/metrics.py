"""Sections on diagnoses: the primary result, the specified hypotheses, and metrics by arm."""

from __future__ import annotations

import polars as pl

from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.cells import Cell, number, p_value
from vitatt.reports.reader_study.findings import not_shown, primary_sentence, warnings
from vitatt.reports.reader_study.names import Names, capital, names_of
from vitatt.reports.reader_study.result_tables import by_arm, degrees, differences, forest
from vitatt.reports.section import Column, Section, Table
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/metrics.txt.jinja"
_CORRELATIONS = {
    "ms_arm_reader": "mean square of arms x readers",
    "variance": "variance of the error",
    "cov1": "Cov1: same reader, other arm",
    "cov2": "Cov2: other reader, same arm",
    "cov3": "Cov3: other reader, other arm",
}


def result_section(outcome: StudyOutcome) -> Section:
    """Question, primary result, and what it does not show."""
    return Section(
        "Question and primary result",
        [outcome.record.manifest.question, *warnings(outcome), primary_sentence(outcome)],
        not_shown(outcome),
        strong=True,
    )


def specified_section(outcome: StudyOutcome) -> Section:
    """The hypotheses specified beforehand."""
    names, results = names_of(outcome.record.manifest), outcome.results
    tables = [differences("Primary hypothesis", results.primary, ["metric"], names)]
    if results.secondary.height:
        tables.append(
            differences(
                "Secondary hypotheses",
                results.secondary,
                ["metric", "hypothesis"],
                names,
                holm=True,
            )
        )
    tables.append(_variances(outcome, names))
    lowest = next(iter(names.bands.values()))
    return Section(
        "Specified hypotheses",
        paragraphs(_TEMPLATE, block="specified", names=names, lowest=lowest),
        tables=tables,
    )


def metrics_section(outcome: StudyOutcome) -> Section:
    """Metrics by arm, of all readers and by experience."""
    names, metrics = names_of(outcome.record.manifest), outcome.results.metrics
    everybody = metrics.filter(experience=ALL_READERS)
    primary = outcome.results.primary["metric"][0]
    bands = metrics.filter(pl.col("experience") != ALL_READERS)
    tables = [by_arm("Metrics of all readers", everybody, ["metric"], names)]
    plots = [
        forest(
            everybody.with_columns(pl.col("metric").map_elements(capital, pl.String)),
            "metric",
            "arm",
            names,
            xlabel="mean over readers",
            ylabel="metric",
            caption="All metrics, 0 to 1, higher is better.",
        )
    ]
    if bands.height:
        tables.append(
            by_arm("Metrics by experience", bands, ["metric", "experience"], names, folded=True)
        )
        plots.append(
            forest(
                bands.filter(metric=primary),
                "experience",
                "arm",
                names,
                xlabel=primary,
                ylabel="experience",
                caption=f"{capital(primary)} by experience.",
            )
        )
    return Section(
        "Metrics by arm and experience",
        paragraphs(_TEMPLATE, block="metrics", names=names, classes=_classes(outcome)),
        tables=tables,
        plots=plots,
    )


def _variances(outcome: StudyOutcome, names: Names) -> Table:
    rows = [
        [
            Cell(capital(row["metric"])),
            number(row["f"], 2),
            Cell(f"{row['df1']:.0f}; {degrees(row['df2'])}"),
            p_value(row["p"]),
            *(number(row[name], 5) for name in _CORRELATIONS),
        ]
        for row in outcome.results.variances.iter_rows(named=True)
    ]
    columns = [
        Column("metric", number=False),
        Column("F", "all arms are equal"),
        Column("degrees of freedom", number=False),
        Column("p"),
        *map(Column, _CORRELATIONS.values()),
    ]
    return Table("Analysis of variance (Obuchowski and Rockette)", columns, rows, folded=True)


def _classes(outcome: StudyOutcome) -> list[str]:
    positive = outcome.record.manifest.positive
    return [one.name for one in outcome.record.manifest.classes if one.name in positive]
