"""All results of a reader study from its table of readings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from vitatt.ranges import Range, check_ranges
from vitatt.reader_study.analysis.agreement import Maps, Relevance, map_agreement, ticked_agreement
from vitatt.reader_study.analysis.confidence import calibration, calibration_differences
from vitatt.reader_study.analysis.hypotheses import (
    primary_row,
    secondary_rows,
    status_of_gains,
    status_of_interactions,
)
from vitatt.reader_study.analysis.metric_tables import gain_table, interaction_table, metric_table
from vitatt.reader_study.analysis.mixed_logistic import CorrectnessModel, fit_correctness
from vitatt.reader_study.analysis.obuchowski_rockette import VarianceAnalysis, analyse_variance
from vitatt.reader_study.analysis.reading_arrays import (
    ReadingArrays,
    reading_arrays,
    require_crossed,
)
from vitatt.reader_study.analysis.reliance import reliance, reliance_differences
from vitatt.reader_study.analysis.results import StudyResults
from vitatt.reader_study.analysis.scores import METRICS, Scores, jackknife_scores
from vitatt.reader_study.analysis.time_and_trust import (
    time_ratios,
    times,
    trust,
    trust_differences,
)
from vitatt.types import UsageError
from vitatt.words import require_known

_LEVEL = {"level": Range(above=0.5, below=1)}


def analyse_readings(
    readings: pl.DataFrame,
    *,
    classes: Sequence[str],
    positive: Sequence[str],
    bands: Sequence[str],
    arms: Sequence[str],
    primary_metric: str,
    primary_contrast: tuple[str, str],
    metrics: Sequence[str],
    maps: Maps | None = None,
    relevance: Relevance | None = None,
    level: float = 0.95,
) -> StudyResults:
    """Analyse the readings of a study as they were specified beforehand.

    The analysis of variance is of the readers who read every case in every arm; a note names the
    others, whose readings the regression, reliance, calibration, times, trust and agreement use.

    Args:
        readings: As `READINGS` has them.
        classes: Names of the diagnoses.
        positive: Those that count as positive.
        bands: Bands of experience, the lowest first.
        arms: The arm without AI first.
        primary_metric: Among `METRICS`.
        primary_contrast: The reference arm, and the arm compared with it.
        metrics: Those specified beforehand; the primary one need not be repeated.
        maps: Relevance (h, w) of each case, by method and case.
        relevance: Relevance of each feature, by case.
        level: Coverage of intervals.

    Raises:
        UsageError: If readings or settings cannot be used; the message says why.
    """
    check_ranges(_LEVEL, {"level": level})
    names = list(dict.fromkeys([primary_metric, *metrics]))
    for name in names:
        require_known("metrics", name, list(METRICS))
    for name in primary_contrast:
        require_known("primary_contrast", name, list(arms))
    if primary_contrast[0] == primary_contrast[1]:
        raise UsageError(
            f"Expected `primary_contrast` to name two arms, but got '{primary_contrast[0]}' twice."
        )
    arrays = reading_arrays(readings, classes=classes, positive=positive, bands=bands, arms=arms)
    crossed, notes = _complete(arrays)
    scores, more = _scores(crossed, names)
    notes += more
    analyses = {name: analyse_variance(of, level) for name, of in scores.items()}
    correctness, more = _correctness(arrays, level)
    notes += more

    gains = gain_table(crossed, scores, analyses, level=level)
    gains = status_of_gains(gains, primary_metric, primary_contrast)
    interactions = interaction_table(crossed, scores, level=level)
    interactions = status_of_interactions(interactions, primary_metric, primary_contrast)
    by_arm = metric_table(crossed, scores, level=level)
    agreement = None if maps is None else map_agreement(arrays, maps, level=level)
    return StudyResults(
        primary=primary_row(gains, by_arm),
        secondary=secondary_rows(gains, interactions),
        metrics=by_arm,
        gains=gains,
        interactions=interactions,
        variances=_variances(analyses),
        correctness=correctness,
        reliance=reliance(arrays, level=level),
        reliance_differences=reliance_differences(arrays, level=level),
        calibration=calibration(arrays, level=level),
        calibration_differences=calibration_differences(arrays, level=level),
        times=times(arrays, level=level),
        time_ratios=time_ratios(arrays, level=level),
        trust=trust(arrays, level=level),
        trust_differences=trust_differences(arrays, level=level),
        map_agreement=None if agreement is None else agreement[0],
        map_differences=None if agreement is None else agreement[1],
        ticked_agreement=(
            None if relevance is None else ticked_agreement(arrays, relevance, level=level)
        ),
        readers=_readers(arrays),
        notes=tuple(notes),
    )


def _complete(arrays: ReadingArrays) -> tuple[ReadingArrays, list[str]]:
    """The readers who read everything, and a note on the others.

    Raises:
        UsageError: If fewer than two did.
    """
    complete = np.asarray(arrays.present.all((0, 2)))
    if complete.sum() < 2:
        require_crossed(arrays)
    others = [name for name, is_so in zip(arrays.readers, complete, strict=True) if not is_so]
    if not others:
        return arrays, []
    note = (
        f"Left out of the analysis of variance, since they lack readings: {', '.join(others)}. "
        "The other analyses use the readings that they submitted."
    )
    return arrays.of_readers(complete), [note]


def _scores(arrays: ReadingArrays, names: Sequence[str]) -> tuple[dict[str, Scores], list[str]]:
    """Each metric, the primary one first, and notes on those that cannot be computed.

    Raises:
        UsageError: If the primary one cannot.
    """
    scores, notes = {names[0]: jackknife_scores(arrays, names[0])}, []
    for name in names[1:]:
        try:
            scores[name] = jackknife_scores(arrays, name)
        except UsageError as error:
            notes.append(f"No {name}: {error}")
    return scores, notes


def _correctness(arrays: ReadingArrays, level: float) -> tuple[CorrectnessModel | None, list[str]]:
    try:
        return fit_correctness(arrays, level=level), []
    except (UsageError, RuntimeError) as error:  # the other results do not depend on it
        return None, [f"No mixed logistic regression: {error}"]


def _variances(analyses: Mapping[str, VarianceAnalysis]) -> pl.DataFrame:
    rows = []
    for metric, found in analyses.items():
        row = {
            field.name: getattr(found, field.name)
            for field in dataclasses.fields(found)
            if field.name not in ("arms", "arms_df", "differences", "df")
        }
        rows.append({"metric": metric, **row, "df1": found.df[0], "df2": found.df[1]})
    return pl.DataFrame(rows).fill_nan(None)


def _readers(arrays: ReadingArrays) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "reader": arrays.readers,
            "experience": [arrays.bands[number] for number in arrays.band],
            "readings": arrays.present.sum((0, 2)),
            "complete": arrays.present.all((0, 2)),
        }
    )
