"""Calibration of readers' confidence in their diagnoses."""

from __future__ import annotations

import numpy as np
import polars as pl

from vitatt.evaluation.bootstrap import Floats
from vitatt.evaluation.calibration import confidence_bins
from vitatt.reader_study.analysis.means import (
    BOUNDS,
    COUNTS,
    PAIR,
    bands_of,
    bounds,
    counts,
    differences,
    means,
    table,
)
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.resampling import two_way_jackknife
from vitatt.types import CALIBRATION_BINS

CALIBRATION_ERROR = "calibration error"


def calibration(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Calibration of confidence in each arm, of all readers and of each band of experience.

    Args:
        arrays: The readings.
        level: Coverage of intervals.

    Returns:
        One row for each measure, arm and band, with the columns of `means` after ``measure``:
        ``confidence`` from 0 to 1; ``overconfidence``, mean confidence minus the share diagnosed
        right; ``Brier``, the mean squared difference of confidence and correctness, 0 to 1; and the
        ``calibration error`` of 15 bins.
    """
    tables = [
        means(arrays, values, level=level).select(pl.lit(name).alias("measure"), pl.all())
        for name, values in _measures(arrays).items()
    ]
    return pl.concat([*tables, _calibration_errors(arrays, level)])


def calibration_differences(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Differences between arms of the measures of `calibration` that are means.

    Returns:
        ``measure``, and the columns of `differences`.
    """
    tables = [
        differences(arrays, values, level=level).select(pl.lit(name).alias("measure"), pl.all())
        for name, values in _measures(arrays).items()
    ]
    return pl.concat(tables) if tables else table([], {"measure": pl.String, **PAIR})


def _measures(arrays: ReadingArrays) -> dict[str, Floats]:
    confidence, correct = arrays.numbers("confidence") / 100, arrays.correct()
    return {
        "confidence": confidence,
        "overconfidence": confidence - correct,
        "Brier": (confidence - correct) ** 2,
    }


def _calibration_errors(arrays: ReadingArrays, level: float) -> pl.DataFrame:
    """Gaps of confidence and correctness in bins, weighted by readings (Guo et al. 2017)."""
    confidence = arrays.numbers("confidence") / 100
    gaps = arrays.correct() - confidence
    rows = []
    for number, arm in enumerate(arrays.arms):
        for experience, chosen in bands_of(arrays):
            own = gaps[number][chosen]
            if np.isnan(own).all():
                continue
            there = ~np.isnan(own)
            bins = confidence_bins(np.nan_to_num(confidence[number][chosen]))
            in_bin = (bins[..., None] == np.arange(CALIBRATION_BINS)) & there[..., None]
            gap_sums = arrays.by_group(np.moveaxis(np.nan_to_num(own)[..., None] * in_bin, 2, 0))
            numbers = arrays.by_group(there.astype(np.float64))
            sums = np.concatenate([np.moveaxis(gap_sums, 0, 2), numbers[..., None]], axis=2)
            found = two_way_jackknife(sums, _calibration_error, level=level)
            names = {"measure": CALIBRATION_ERROR, "arm": arm, "experience": experience}
            rows.append({**names, **counts(own), **bounds(found)})
    names_only = {"measure": pl.String, "arm": pl.String, "experience": pl.String}
    return table(rows, {**names_only, **COUNTS, **BOUNDS})


def _calibration_error(sums: Floats) -> Floats:
    """From summed gaps of the bins and the number of readings, (..., bins + 1)."""
    error: Floats = np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]
    return error
