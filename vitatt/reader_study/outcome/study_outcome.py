"""The analysis that the plan of a study specifies, of the readings that its log records."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from vitatt.reader_study.analysis.analysis import analyse_readings
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays, reading_arrays
from vitatt.reader_study.analysis.results import StudyResults
from vitatt.reader_study.outcome.case_table import case_table
from vitatt.reader_study.outcome.deviations import deviations
from vitatt.reader_study.outcome.evidence_sources import evidence_sources
from vitatt.reader_study.outcome.flow import reader_flow
from vitatt.reader_study.outcome.integrity import integrity
from vitatt.reader_study.outcome.periods import PeriodEffects, period_effects
from vitatt.reader_study.outcome.record import StudyRecord
from vitatt.reader_study.outcome.sensitivity import sensitivity
from vitatt.types import UsageError

LEAST_SECONDS = 0.1
"""Shorter times count as this: a time of 0 has no logarithm."""


@dataclasses.dataclass(frozen=True)
class StudyOutcome:
    """Everything that a report of a study is made of.

    Attributes:
        record: Of the study.
        interim: Whether the study was not over when it was analysed.
        arrays: Its readings by arm, reader and case.
        results: Of the specified analysis.
        sensitivity: See `vitatt.reader_study.outcome.sensitivity.sensitivity`.
        periods: See `period_effects`; None in the sequential design.
        cases: See `case_table`.
        flow: See `reader_flow`.
        deviations: From the plan, a sentence each.
        integrity: Checks with what they found.
        notes: What was left out of the analysis, and why, a sentence each.
    """

    record: StudyRecord
    interim: bool
    arrays: ReadingArrays
    results: StudyResults
    sensitivity: pl.DataFrame
    periods: PeriodEffects | None
    cases: pl.DataFrame
    flow: pl.DataFrame
    deviations: list[str]
    integrity: list[tuple[str, str]]
    notes: tuple[str, ...]


def analyse_study(record: StudyRecord, now: datetime.datetime) -> StudyOutcome:
    """Analyse a study as its plan specifies.

    Args:
        record: Of the study.
        now: Decides whether its last day is over.

    Raises:
        UsageError: If there are no readings, or too few for the primary metric.
    """
    manifest, plan = record.manifest, record.manifest.analysis
    if record.readings.is_empty():
        raise UsageError(
            f"{record.folder} has no reading to analyse: nobody submitted any, or all who did have "
            "withdrawn."
        )
    readings, notes = _timed(record.readings)
    sources = evidence_sources(manifest, record.folder)
    design = {
        "classes": [one.name for one in manifest.classes],
        "positive": sorted(manifest.positive),
        "bands": [one.name for one in manifest.experience],
        # Reliance compares arms with the first one.
        "arms": [one.name for one in sorted(manifest.arms, key=lambda one: one.shows_ai)],
    }
    results = analyse_readings(
        readings,
        **design,
        primary_metric=plan.primary_metric,
        primary_contrast=plan.primary_contrast,
        metrics=plan.metrics,
        maps=sources.maps,
        relevance=sources.relevance,
        level=plan.level,
    )
    arrays = reading_arrays(readings, **design)
    return StudyOutcome(
        record=record,
        interim=not record.is_over(now),
        arrays=arrays,
        results=results,
        sensitivity=sensitivity(arrays, results.primary, plan.primary_contrast, level=plan.level),
        periods=_periods(record, arrays),
        cases=case_table(manifest, readings),
        flow=reader_flow(record),
        deviations=deviations(record),
        integrity=integrity(record),
        notes=(*results.notes, *sources.notes, *notes),
    )


def _timed(readings: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Readings whose times have a logarithm, and a note if any was raised for that."""
    short = readings.filter(pl.col("seconds") < LEAST_SECONDS).height
    if not short:
        return readings, []
    number = "1 reading" if short == 1 else f"{short} readings"
    note = f"{number} of less than {LEAST_SECONDS:g} s counted as {LEAST_SECONDS:g} s."
    return readings.with_columns(pl.col("seconds").clip(lower_bound=LEAST_SECONDS)), [note]


def _periods(record: StudyRecord, arrays: ReadingArrays) -> PeriodEffects | None:
    plan = record.manifest.analysis
    if record.manifest.design != "crossover":
        return None
    complete = arrays.of_readers(np.asarray(arrays.present.all((0, 2))))
    return period_effects(complete, plan.primary_metric, plan.primary_contrast, level=plan.level)
