"""Means of values of readings by arm and experience, and their differences between arms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import Estimate
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.resampling import (
    difference_of_ratios,
    ratio,
    sums_of,
    two_way_jackknife,
)

ALL_READERS = "all"
"""Experience of rows that are about readers of all bands."""


def means(
    arrays: ReadingArrays, values: Floats, *, level: float = 0.95, share: bool = False
) -> pl.DataFrame:
    """Mean over readings in each arm, of all readers and of each band of experience.

    Args:
        arrays: The readings.
        values: One for each reading, (A, R, N); NaN where it does not count.
        level: Coverage of intervals.
        share: Whether values are 0 or 1.

    Returns:
        One row for each arm and band: ``arm``, ``experience``, ``readers`` and ``readings`` that
        count, ``value``, ``low``, ``high``; null where undefined, rows without reading left out.
    """
    rows = []
    for number, arm in enumerate(arrays.arms):
        for experience, chosen in bands_of(arrays):
            own = values[number][chosen]
            if np.isnan(own).all():
                continue
            found = two_way_jackknife(sums_of(own, arrays.group), ratio, level=level, share=share)
            rows.append({"arm": arm, "experience": experience, **counts(own), **bounds(found)})
    return table(rows, {"arm": pl.String, "experience": pl.String, **COUNTS, **BOUNDS})


def differences(arrays: ReadingArrays, values: Floats, *, level: float = 0.95) -> pl.DataFrame:
    """Difference of the means of each pair of arms, of all readers and of each band.

    Args:
        arrays: The readings.
        values: One for each reading, (A, R, N); NaN where it does not count.
        level: Coverage of intervals.

    Returns:
        One row for each pair of arms and band: ``arm``, ``reference``, ``experience``, ``value`` of
        the arm minus the reference, ``low``, ``high``, ``p``; null where undefined.
    """
    rows = []
    for one, other in pairs_of(arrays):
        for experience, chosen in bands_of(arrays):
            own = values[other][chosen], values[one][chosen]
            if any(np.isnan(values_of_arm).all() for values_of_arm in own):
                continue
            sums = np.concatenate([sums_of(arm, arrays.group) for arm in own[::-1]], axis=-1)
            found = two_way_jackknife(sums, difference_of_ratios, level=level)
            names = {"arm": arrays.arms[other], "reference": arrays.arms[one]}
            rows.append({**names, "experience": experience, **bounds(found), "p": defined(found.p)})
    return table(rows, PAIR)


def bands_of(arrays: ReadingArrays) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield `ALL_READERS`, then each band that has readers, with a mask of readers, (R,).

    If all readers are of one band, it is not repeated.
    """
    yield ALL_READERS, np.ones(len(arrays.readers), dtype=bool)
    if len(np.unique(arrays.band)) > 1:
        for number, name in enumerate(arrays.bands):
            if (arrays.band == number).any():
                yield name, arrays.band == number


def pairs_of(arrays: ReadingArrays) -> list[tuple[int, int]]:
    """Numbers of each pair of arms, the earlier, which is the reference, first."""
    numbers = range(len(arrays.arms))
    return [(one, other) for one in numbers for other in numbers if one < other]


def counts(values: Floats) -> dict[str, int]:
    """Readers and readings with a value, from (R, N)."""
    there = ~np.isnan(values)
    return {"readers": int(there.any(1).sum()), "readings": int(there.sum())}


def bounds(found: Estimate) -> dict[str, float | None]:
    """Value and interval as columns of a table, None where undefined."""
    numbers = {"value": found.value, "low": found.low, "high": found.high}
    return {name: defined(number) for name, number in numbers.items()}


def defined(value: float) -> float | None:
    """A number, or None if it is NaN."""
    return None if np.isnan(value) else float(value)


def table(
    rows: Sequence[Mapping[str, object]], schema: dict[str, type[pl.DataType]]
) -> pl.DataFrame:
    """Rows as a table, which has its columns even without rows."""
    return pl.DataFrame(rows, schema=schema, orient="row")


COUNTS: dict[str, type[pl.DataType]] = {"readers": pl.Int64, "readings": pl.Int64}
BOUNDS: dict[str, type[pl.DataType]] = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
PAIR: dict[str, type[pl.DataType]] = {
    "arm": pl.String,
    "reference": pl.String,
    "experience": pl.String,
    **BOUNDS,
    "p": pl.Float64,
}
