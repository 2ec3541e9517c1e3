"""Sensitivity analysis: the primary contrast with other readings, other methods, by period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.intervals import Estimate
from vitatt.reader_study.analysis.means import bounds, defined, table
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.resampling import sums_of, two_way_jackknife

FAST_SECONDS = 3.0
"""Readings that took less are left out of one of the analyses: nobody looks at a case that fast."""

_SCHEMA: dict[str, type[pl.DataType]] = {
    "analysis": pl.String,
    "readers": pl.Int64,
    "readings": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
}


def sensitivity(
    arrays: ReadingArrays, primary: pl.DataFrame, contrast: tuple[str, str], *, level: float
) -> pl.DataFrame:
    """The primary contrast by the analysis of the plan, and by others.

    The others pool the readings of all readers, so that missing readings do not matter, and take
    the interval of a two-way jackknife. The area under the ROC curve is none of the metrics that
    can be pooled so: then there is the analysis of the plan only.

    Args:
        arrays: All readings.
        primary: One row, as `StudyResults.primary`.
        contrast: The reference arm, and the arm compared with it.
        level: Coverage of intervals.

    Returns:
        ``analysis``, ``readers``, ``readings`` in both arms, ``value`` of the difference, ``low``,
        ``high``, ``p``; null where undefined.
    """
    metric = primary["metric"][0]
    places = [arrays.arms.index(name) for name in contrast]
    complete = np.asarray(arrays.present.all((0, 2)))
    of_complete = arrays.of_readers(complete)
    rows = [
        {
            "analysis": "as planned: analysis of variance, readers who read all",
            "readers": int(complete.sum()),
            "readings": int(of_complete.present[places].sum()),
            **{name: primary[name][0] for name in ("value", "low", "high", "p")},
        }
    ]
    if metric != "AUROC":
        slow = arrays.numbers("seconds") >= FAST_SECONDS
        everything = np.ones_like(arrays.present)
        for name, some, kept in (
            ("two-way jackknife, readers who read all", of_complete, everything[:, complete]),
            ("two-way jackknife, all readers and readings", arrays, everything),
            (f"the same without readings under {FAST_SECONDS:g} s", arrays, slow),
        ):
            found, used = _contrast(some, kept, metric, places, level)
            rows.append(
                {
                    "analysis": name,
                    "readers": int(used.any(1).sum()),
                    "readings": 2 * int(used.sum()),
                    **bounds(found),
                    "p": defined(found.p),
                }
            )
    return table(rows, _SCHEMA)


def _contrast(
    arrays: ReadingArrays,
    kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    metric: str,
    places: Sequence[int],
    level: float,
) -> tuple[Estimate, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Difference of a metric of all readings that count in both arms, and which these are, (R, N).

    The metric is a mean of shares: of each class for balanced accuracy, else of one kind of case.
    """
    both = np.all([arrays.present[place] & kept[place] for place in places], axis=0)
    parts = [
        sums_of(np.where(both & member, counted[place], np.nan), arrays.group)
        for counted, member in _shares(arrays, metric)
        for place in places
    ]

    def difference(sums: Floats) -> Floats:
        quotients = sums[..., ::2] / sums[..., 1::2]
        found: Floats = (quotients[..., 1::2] - quotients[..., ::2]).mean(-1)
        return found

    return two_way_jackknife(np.concatenate(parts, axis=-1), difference, level=level), both


def _shares(
    arrays: ReadingArrays, metric: str
) -> Iterator[tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]]:
    """Readings that count as right, (A, R, N), and the cases of which they are a share, (N,)."""
    if metric == "balanced accuracy":
        for label in np.unique(arrays.truth):
            yield arrays.correct(), arrays.truth == label
        return
    called = arrays.positive[arrays.diagnoses()].astype(np.float64)
    positive = arrays.positive[arrays.truth]
    if metric == "sensitivity":
        yield called, positive
    else:
        yield 1 - called, ~positive
