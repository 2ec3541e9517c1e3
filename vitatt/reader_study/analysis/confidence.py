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
from vitatt.reader_study.analysis.resampling import ratio, sums_of, two_way_jackknife
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
    """Gaps of confidence and correctness in bins, weighted by readings (Guo et al. 2017).

    The error is the mean over readings of correctness minus confidence, with the sign that this has
    in the reading's bin. Intervals take these signs as given, and do not remove the error's bias:
    few readings raise it.
    """
    confidence = arrays.numbers("confidence") / 100
    gaps = arrays.correct() - confidence
    rows = []
    for number, arm in enumerate(arrays.arms):
        for experience, chosen in bands_of(arrays):
            own = gaps[number][chosen]
            if np.isnan(own).all():
                continue
            bins = confidence_bins(np.nan_to_num(confidence[number][chosen]))
            of_bin = np.bincount(bins.ravel(), np.nan_to_num(own).ravel(), CALIBRATION_BINS)
            signed = np.sign(of_bin)[bins] * own
            found = two_way_jackknife(sums_of(signed, arrays.group), ratio, level=level)
            names = {"measure": CALIBRATION_ERROR, "arm": arm, "experience": experience}
            rows.append({**names, **counts(own), **bounds(found)})
    names_only = {"measure": pl.String, "arm": pl.String, "experience": pl.String}
    found_rows = table(rows, {**names_only, **COUNTS, **BOUNDS})
    return found_rows.with_columns(pl.col("low").clip(lower_bound=0))
