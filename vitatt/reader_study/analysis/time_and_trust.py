"""Time of readings, and trust in the AI."""

from __future__ import annotations

import numpy as np
import polars as pl

from vitatt.reader_study.analysis.means import differences, means
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.types import UsageError

_BOUNDS = ("value", "low", "high")


def times(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Geometric mean of the seconds of a reading in each arm, with the columns of `means`.

    Times are skewed: their means and intervals are those of logarithms.

    Raises:
        UsageError: If a time is not above 0.
    """
    return means(arrays, _log_seconds(arrays), level=level).with_columns(pl.col(_BOUNDS).exp())


def time_ratios(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Ratio of the geometric mean times of each pair of arms, with the columns of `differences`."""
    found = differences(arrays, _log_seconds(arrays), level=level)
    return found.with_columns(pl.col(_BOUNDS).exp())


def trust(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Mean trust, 1 to 5, in arms that show the AI: on all cases, and where it is right or wrong.

    Returns:
        ``ai``: any, right or wrong; and the columns of `means`.
    """
    values, right = arrays.numbers("trust"), arrays.numbers("ai_correct")
    parts = {"any": values}
    parts |= {name: np.where(right == given, values, np.nan) for name, given in _GIVEN.items()}
    return pl.concat(
        means(arrays, part, level=level).select(pl.lit(name).alias("ai"), pl.all())
        for name, part in parts.items()
    )


def trust_differences(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Differences of trust between arms that show the AI, with the columns of `differences`."""
    return differences(arrays, arrays.numbers("trust"), level=level)


_GIVEN = {"right": 1.0, "wrong": 0.0}


def _log_seconds(arrays: ReadingArrays) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    seconds = arrays.numbers("seconds")
    if (wrong := seconds[seconds <= 0]).size:
        raise UsageError(
            f"Expected every reading to take more than 0 seconds, but {wrong.size} took "
            f"{wrong.min():g}: correct the column seconds."
        )
    logarithms: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.log(seconds)
    return logarithms
