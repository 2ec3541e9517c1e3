"""Means of a metric over the readers of bands of experience, and contrasts between bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import Estimate, Variances, estimate
from vitatt.reader_study.analysis.obuchowski_rockette import jackknife_covariance
from vitatt.reader_study.analysis.scores import Scores


def band_contrast(
    scores: Scores,
    band: NDArray[np.int64],
    weights: Floats,
    *,
    level: float = 0.95,
    share: bool = False,
) -> Estimate:
    """A weighted sum over bands of the mean of a metric over the readers of each.

    The model of Obuchowski and Rockette with readers nested in bands: the variance is
    MS sum_b w_b^2 / R_b + max(sum_bc w_b w_c Cov_bc, 0), with the mean square of readers within
    bands and the covariance, over cases, of different readers of bands b and c. What all readers
    share on a case cancels out between bands.

    Args:
        scores: Of each reader: a metric in one arm, or its gain from one to another.
        band: Band of each reader, (R,).
        weights: Of each band, (B,); 0 for bands that do not count.
        level: Coverage of the interval.
        share: Whether the value is a share, see `estimate`.

    Returns:
        NaN if a band that counts has no reader; no interval if no band has two readers.
    """
    values, without, strata = scores
    counts = np.bincount(band, minlength=len(weights))
    counted = np.flatnonzero(weights)
    nan = float("nan")
    if (counts[counted] == 0).any():
        return Estimate(nan, nan, nan, nan, nan)
    means = np.bincount(band, values, len(weights)) / np.maximum(counts, 1)
    value = float(weights[counted] @ means[counted])
    kept = np.isin(band, counted)
    df = int(kept.sum()) - len(counted)
    if df < 1:
        return Estimate(value, nan, nan, nan, nan)
    mean_square = float(((values - means[band])[kept] ** 2).sum()) / df
    over_readers = mean_square * float((weights[counted] ** 2 / counts[counted]).sum())
    covariance = jackknife_covariance(without, strata)
    others = ~np.eye(len(values), dtype=bool)
    common = float(covariance[others & kept[:, None] & kept].mean())
    over_cases = 0.0
    for one in counted:
        for other in counted:
            pairs = others & (band[:, None] == one) & (band == other)
            shared = float(covariance[pairs].mean()) if pairs.any() else common
            over_cases += float(weights[one] * weights[other]) * shared
    variances = Variances(
        over_readers, df, max(over_cases, 0), len(without) - len(np.unique(strata))
    )
    return estimate(value, variances, level=level, share=share)
