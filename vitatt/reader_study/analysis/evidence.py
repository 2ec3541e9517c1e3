"""Agreement of one reader's evidence with relevance: of a drawn mask, and of ticked features.

The metrics of masks are those of `vitatt.explain.checks.localization`, without PyTorch, which an
analysis of readings does not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from scipy.stats import kendalltau, rankdata

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.evidence_mask import SIDE
from vitatt.types import UsageError

MASK_MEASURES = ("IoU", "pointing", "mass")
"""Largest intersection over union at any threshold, pointing game, share of relevance inside."""

FEATURE_MEASURES = ("AUROC", "Kendall")
"""How well relevance ranks ticked features above others: area, and rank correlation tau-b."""


def as_mask_grid(relevance: Floats) -> Floats:
    """A map of relevance of any grid, at the cells of a mask, (64, 64).

    Bilinear between the centres of the grid's cells, as maps are drawn.

    Raises:
        UsageError: If the map is not a grid, has negative or undefined values, or is 0 everywhere.
    """
    if relevance.ndim != 2:
        raise UsageError(f"Expected a map as a grid (h, w), but got the shape {relevance.shape}.")
    if not np.isfinite(relevance).all() or (relevance < 0).any() or not relevance.any():
        raise UsageError(
            "Expected a map of relevance that is finite, not negative, and above 0 somewhere, but "
            f"got values from {relevance.min():g} to {relevance.max():g}."
        )
    factors = [SIDE / side for side in relevance.shape]
    grid: Floats = zoom(
        relevance.astype(np.float64), factors, order=1, mode="nearest", grid_mode=True
    )
    return grid


class RankedMap(NamedTuple):
    """A map of relevance, its cells ordered from the most relevant.

    Attributes:
        values: Relevance, falling, (n,).
        order: Cell of each, (n,).
        cuts: Numbers of cells above a threshold, which cannot lie between equal values.
    """

    values: Floats
    order: NDArray[np.int64]
    cuts: NDArray[np.int64]


def rank_map(relevance: Floats) -> RankedMap:
    """Order the cells of a map, not negative, (64, 64)."""
    cells = relevance.ravel()
    order = np.argsort(-cells, kind="stable")
    values = cells[order]
    cuts = np.flatnonzero(np.append(values[1:] != values[:-1], True)) + 1
    return RankedMap(values, order, cuts)


def mask_agreement(ranked: RankedMap, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Agreement of a map with a drawn mask, each between 0 and 1.

    Args:
        ranked: The map.
        mask: True where evidence was drawn, at least once, (64, 64).

    Returns:
        By `MASK_MEASURES`.
    """
    values, order, cuts = ranked
    inside = mask.ravel()[order]
    hits = inside.cumsum()[cuts - 1]
    return {
        "IoU": float((hits / (cuts + inside.sum() - hits)).max()),
        "pointing": float(hits[0] / cuts[0]),
        "mass": float(values @ inside / values.sum()),
    }


def centre_gaussian() -> Floats:
    """A map that is largest in the centre of every image, (64, 64), as a baseline."""
    places = np.arange(1 - SIDE, SIDE, 2) / (2 * SIDE * _SIGMA)
    curve = np.exp(-(places**2) / 2)
    return np.outer(curve, curve)


def random_maps(count: int) -> Floats:
    """Maps of random relevance, (count, 64, 64), as a baseline: always the same."""
    return np.random.default_rng(0).random((count, SIDE, SIDE))


def feature_agreement(relevance: Mapping[str, float], ticked: frozenset[str]) -> dict[str, float]:
    """Agreement of the relevance of features with a reader's ticks.

    Args:
        relevance: Of each feature that the case has.
        ticked: Names of the features that the reader ticked.

    Returns:
        By `FEATURE_MEASURES`; NaN if all or none are ticked, or all are equally relevant.

    Raises:
        UsageError: If a ticked feature has no relevance.
    """
    if unknown := sorted(ticked - set(relevance)):
        raise UsageError(
            f"Expected the relevance of every ticked feature, but {', '.join(unknown)} has none. "
            f"There are: {', '.join(relevance)}."
        )
    values = np.array(list(relevance.values()), dtype=np.float64)
    chosen = np.array([name in ticked for name in relevance])
    nan = float("nan")
    positive, negative = int(chosen.sum()), int((~chosen).sum())
    if not positive or not negative:
        return dict.fromkeys(FEATURE_MEASURES, nan)
    ranks = rankdata(values)
    area = (ranks[chosen].sum() - positive * (positive + 1) / 2) / (positive * negative)
    tau = float(kendalltau(chosen, values).statistic) if np.ptp(values) > 0 else nan
    return {"AUROC": float(area), "Kendall": tau}


_SIGMA = 0.25  # of the centre Gaussian, as in `vitatt.explain.checks.localization`
