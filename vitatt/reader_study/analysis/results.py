"""Results of a reader study: tables, and what was left out of them."""

from __future__ import annotations

import dataclasses

import polars as pl

from vitatt.reader_study.analysis.mixed_logistic import CorrectnessModel


@dataclasses.dataclass(frozen=True)
class StudyResults:
    """Tables of a reader study. All that is not `primary` or `secondary` is exploratory.

    Attributes:
        primary: One row: ``metric``, ``arm``, ``reference``, ``value`` of the difference with
            ``low`` and ``high``, ``p``, and the ``mean`` and ``reference_mean`` of both arms.
        secondary: The other hypotheses specified beforehand: ``hypothesis``, ``metric``, ``arm``,
            ``reference``, ``experience``, ``value``, ``low``, ``high``, ``p``, and ``p_holm`` over
            this table.
        metrics: See `metric_table`.
        gains: See `gain_table`, with the ``status`` of each.
        interactions: See `interaction_table`, with the ``status`` of each.
        variances: See `VarianceAnalysis`: one row for each metric.
        correctness: See `CorrectnessModel`; None if a note says why there is none.
        reliance: See `reliance`.
        reliance_differences: See `reliance_differences`.
        calibration: See `calibration`.
        calibration_differences: See `calibration_differences`.
        times: See `times`.
        time_ratios: See `time_ratios`.
        trust: See `trust`.
        trust_differences: See `trust_differences`.
        map_agreement: See `map_agreement`; None without maps.
        map_differences: Its second table; None without maps.
        ticked_agreement: See `ticked_agreement`; None without relevance of features.
        readers: One row for each reader: ``reader``, ``experience``, ``readings``, ``complete``.
        notes: What was left out, and why; sentences for the report.
    """

    primary: pl.DataFrame
    secondary: pl.DataFrame
    metrics: pl.DataFrame
    gains: pl.DataFrame
    interactions: pl.DataFrame
    variances: pl.DataFrame
    correctness: CorrectnessModel | None
    reliance: pl.DataFrame
    reliance_differences: pl.DataFrame
    calibration: pl.DataFrame
    calibration_differences: pl.DataFrame
    times: pl.DataFrame
    time_ratios: pl.DataFrame
    trust: pl.DataFrame
    trust_differences: pl.DataFrame
    map_agreement: pl.DataFrame | None
    map_differences: pl.DataFrame | None
    ticked_agreement: pl.DataFrame | None
    readers: pl.DataFrame
    notes: tuple[str, ...]
