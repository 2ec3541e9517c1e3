"""Metrics by arm and experience, gains between arms, and whether gains depend on experience."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from vitatt.reader_study.analysis.intervals import Estimate
from vitatt.reader_study.analysis.means import (
    ALL_READERS,
    BOUNDS,
    PAIR,
    bands_of,
    bounds,
    defined,
    pairs_of,
    table,
)
from vitatt.reader_study.analysis.obuchowski_rockette import VarianceAnalysis
from vitatt.reader_study.analysis.reader_means import band_contrast
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.scores import Scores

BY_METRIC: dict[str, type[pl.DataType]] = {"metric": pl.String}


def metric_table(
    arrays: ReadingArrays, scores: Mapping[str, Scores], *, level: float = 0.95
) -> pl.DataFrame:
    """Mean of each metric over readers in each arm, of all readers and of each band.

    Args:
        arrays: Of a fully crossed study.
        scores: By metric.
        level: Coverage of intervals.

    Returns:
        One row for each metric, arm and band: ``metric``, ``arm``, ``experience``, ``readers``,
        ``value``, ``low``, ``high``; the interval is null where undefined, as of a single reader.
    """
    rows = []
    for metric, of_metric in scores.items():
        for number, arm in enumerate(arrays.arms):
            for experience, chosen in bands_of(arrays):
                found = _mean(arrays, of_metric.of_arm(number), experience, level, share=True)
                names = {"metric": metric, "arm": arm, "experience": experience}
                rows.append({**names, "readers": int(chosen.sum()), **bounds(found)})
    names_only = {"arm": pl.String, "experience": pl.String, "readers": pl.Int64}
    return table(rows, {**BY_METRIC, **names_only, **BOUNDS})


def gain_table(
    arrays: ReadingArrays,
    scores: Mapping[str, Scores],
    analyses: Mapping[str, VarianceAnalysis],
    *,
    level: float = 0.95,
) -> pl.DataFrame:
    """Differences of each metric between each pair of arms, of all readers and of each band.

    Of all readers, they are those of the analysis of variance; of a band, those of
    `band_contrast`.

    Returns:
        ``metric``, and the columns of `means.differences`.
    """
    rows = []
    for metric, of_metric in scores.items():
        for one, other in pairs_of(arrays):
            for experience, _ in bands_of(arrays):
                if experience == ALL_READERS:
                    found = analyses[metric].differences[one, other]
                else:
                    gain = of_metric.gain(one, other)
                    found = _mean(arrays, gain, experience, level, share=False)
                names = {"metric": metric, "arm": arrays.arms[other]}
                names |= {"reference": arrays.arms[one], "experience": experience}
                rows.append({**names, **bounds(found), "p": defined(found.p)})
    return table(rows, {**BY_METRIC, **PAIR})


def interaction_table(
    arrays: ReadingArrays, scores: Mapping[str, Scores], *, level: float = 0.95
) -> pl.DataFrame:
    """How much more the least experienced gain than the others, in each metric and pair of arms.

    Returns:
        ``metric``, and the columns of `means.differences`: ``experience`` is the lowest band that
        has readers, ``value`` its mean gain minus the mean gain of the other bands. Without rows if
        all readers are of one band.
    """
    rows = []
    there = np.unique(arrays.band)
    if len(there) > 1:
        weights = np.zeros(len(arrays.bands))
        weights[there] = -1 / (len(there) - 1)
        weights[there[0]] = 1
        for metric, of_metric in scores.items():
            for one, other in pairs_of(arrays):
                gain = of_metric.gain(one, other)
                found = band_contrast(gain, arrays.band, weights, level=level)
                names = {"metric": metric, "arm": arrays.arms[other]}
                names |= {"reference": arrays.arms[one], "experience": arrays.bands[there[0]]}
                rows.append({**names, **bounds(found), "p": defined(found.p)})
    return table(rows, {**BY_METRIC, **PAIR})


def _mean(
    arrays: ReadingArrays,
    scores: Scores,
    experience: str,
    level: float,
    *,
    share: bool,
) -> Estimate:
    """Mean over all readers, or those of a band."""
    if experience == ALL_READERS:
        band, weights = np.zeros_like(arrays.band), np.ones(1)
    else:
        band = arrays.band
        weights = (np.array(arrays.bands) == experience).astype(np.float64)
    return band_contrast(scores, band, weights, level=level, share=share)
