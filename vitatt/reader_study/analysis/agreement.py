"""Agreement of readers' evidence with maps and with the relevance of features, by experience."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.evidence import (
    FEATURE_MEASURES,
    MASK_MEASURES,
    RankedMap,
    as_mask_grid,
    centre_gaussian,
    feature_agreement,
    mask_agreement,
    random_maps,
    rank_map,
)
from vitatt.reader_study.analysis.means import (
    PAIR,
    bands_of,
    bounds,
    defined,
    means,
    table,
)
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.resampling import ratio, sums_of, two_way_jackknife
from vitatt.reader_study.evidence_mask import decode_mask
from vitatt.types import UsageError

CENTRE = "centre"
RANDOM = "random"
BASELINES = (CENTRE, RANDOM)
"""Maps that do not depend on the image. A map that is not better than the centre says nothing."""

Maps = Mapping[str, Mapping[str, Floats]]
"""Relevance (h, w) of each case, by method and case."""

Relevance = Mapping[str, Mapping[str, float]]
"""Relevance of each feature, by case."""


def map_agreement(
    arrays: ReadingArrays, maps: Maps, *, level: float = 0.95
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Agreement of drawn masks with maps and with the baselines.

    Args:
        arrays: The readings. Those without a drawn mask do not count.
        maps: Of every case on which a mask was drawn.
        level: Coverage of intervals.

    Returns:
        Two tables. One row for each measure of `MASK_MEASURES`, method, arm and band, with the
        columns of `means` after ``measure`` and ``method``. And the paired differences of each
        method to the centre baseline: ``measure``, ``arm``, ``method``, ``reference``,
        ``experience``, ``value``, ``low``, ``high``, ``p``.

    Raises:
        UsageError: If a mask or map cannot be used, or a map is missing.
    """
    found = _agreements(arrays, maps)
    parts = [
        means(arrays, values[measure], level=level).select(
            pl.lit(measure).alias("measure"), pl.lit(method).alias("method"), pl.all()
        )
        for measure in MASK_MEASURES
        for method, values in found.items()
    ]
    rows = []
    for measure in MASK_MEASURES:
        for method in [name for name in found if name not in BASELINES]:
            apart = found[method][measure] - found[CENTRE][measure]
            for number, arm in enumerate(arrays.arms):
                for experience, chosen in bands_of(arrays):
                    own = apart[number][chosen]
                    if np.isnan(own).all():
                        continue
                    mean = two_way_jackknife(sums_of(own, arrays.group), ratio, level=level)
                    names = {"measure": measure, "method": method, "arm": arm, "reference": CENTRE}
                    names |= {"experience": experience}
                    rows.append({**names, **bounds(mean), "p": defined(mean.p)})
    names_only = {"measure": pl.String, "method": pl.String}
    return pl.concat(parts), table(rows, {**names_only, **PAIR})


def ticked_agreement(
    arrays: ReadingArrays, relevance: Relevance, *, level: float = 0.95
) -> pl.DataFrame:
    """Agreement of ticked features with their relevance, by `FEATURE_MEASURES`.

    By chance, the AUROC is 0.5 and Kendall's tau 0.

    Args:
        arrays: The readings. Those that ticked no feature, or all, do not count.
        relevance: Of every case on which a feature was ticked.
        level: Coverage of intervals.

    Returns:
        One row for each measure, arm and band, with the columns of `means` after ``measure``.

    Raises:
        UsageError: If the relevance of a case or of a ticked feature is missing.
    """
    values = {name: np.full(arrays.row.shape, np.nan) for name in FEATURE_MEASURES}
    texts = arrays.table["evidence_features"].to_list()
    for place in np.argwhere(arrays.present):
        arm, reader, case = place
        text = texts[arrays.row[arm, reader, case]]
        if not text:
            continue
        name = arrays.cases[case]
        if name not in relevance:
            raise UsageError(f"Expected the relevance of features of case {name}, but got none.")
        found = feature_agreement(relevance[name], frozenset(text.split(";")))
        for measure, value in found.items():
            values[measure][arm, reader, case] = value
    parts = [
        means(arrays, values[measure], level=level).select(
            pl.lit(measure).alias("measure"), pl.all()
        )
        for measure in FEATURE_MEASURES
    ]
    return pl.concat(parts)


_RANDOM_MAPS = 20


def _agreements(arrays: ReadingArrays, maps: Maps) -> dict[str, dict[str, Floats]]:
    """Each measure of each reading, (A, R, N), by method and measure."""
    methods = (*maps, *BASELINES)
    values = {
        method: {name: np.full(arrays.row.shape, np.nan) for name in MASK_MEASURES}
        for method in methods
    }
    centre = rank_map(centre_gaussian())
    noise = [rank_map(one) for one in random_maps(_RANDOM_MAPS)]
    texts = arrays.table["evidence_mask"].to_list()
    for case, name in enumerate(arrays.cases):
        grids: dict[str, RankedMap] = {}
        for arm, reader in np.argwhere(arrays.present[:, :, case]):
            text = texts[arrays.row[arm, reader, case]]
            if text is None or not (mask := decode_mask(text)).any():
                continue
            grids = grids or {method: _grid(method, of, name) for method, of in maps.items()}
            found = {method: mask_agreement(grid, mask) for method, grid in grids.items()}
            found[CENTRE] = mask_agreement(centre, mask)
            several = [mask_agreement(one, mask) for one in noise]
            found[RANDOM] = {
                measure: float(np.mean([one[measure] for one in several]))
                for measure in MASK_MEASURES
            }
            for method, measures in found.items():
                for measure, value in measures.items():
                    values[method][measure][arm, reader, case] = value
    return values


def _grid(method: str, maps: Mapping[str, Floats], case: str) -> RankedMap:
    if case not in maps:
        raise UsageError(
            f"Expected a map of case {case} by {method}, since evidence was drawn on it, but there "
            "is none."
        )
    return rank_map(as_mask_grid(maps[case]))
