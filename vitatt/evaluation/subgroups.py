"""Metrics by subgroup of patients: skin type, sex, age band, site."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl

from vitatt.evaluation.bootstrap import resample
from vitatt.evaluation.metrics import AVERAGE_PRECISION, compared
from vitatt.evaluation.out_of_fold import arrays
from vitatt.types import PositiveClass

AGE_EDGES = (40.0, 60.0, 80.0)
"""First age, in years, of each age band but the lowest."""

MISSING = "missing"
"""Subgroup of the cases whose attribute is missing."""

FEW_CASES = 30
FEW_OF_CLASS = 5


def score_subgroups(
    frame: pl.DataFrame,
    classes: Sequence[str],
    columns: Sequence[str],
    *,
    bands: Mapping[str, Sequence[float]] = MappingProxyType({}),
    positive: PositiveClass | None = None,
) -> pl.DataFrame:
    """Metrics of each subgroup, with 95 % intervals of the group bootstrap within it.

    A subgroup's metric averages the classes that occur in it. Subgroups with different classes may
    therefore differ in a metric although the arm is equally good at each class. So may average
    precision wherever the positive class is more frequent: it is left out.

    Args:
        frame: Predictions of one arm, one row for each case: ``group``, ``true``, ``p_CLASS`` and
            the columns.
        classes: Class names.
        columns: Attributes. Numeric ones are cut into bands.
        bands: First value of each band but the lowest, in increasing order, of numeric attributes
            that `AGE_EDGES` are not for.
        positive: The class that is most harmful to miss, if it is known.

    Returns:
        One row for each attribute, subgroup and metric: ``attribute``, ``subgroup``, ``n`` cases,
        ``groups``, ``metric``, ``value``, ``low``, ``high`` (null where undefined), and whether it
        is ``small``: fewer than 30 cases, or fewer than two classes with at least 5. Small
        subgroups and cases without a value are included.
    """
    statistics = compared(classes, positive)
    statistics = {name: one for name, one in statistics.items() if name != AVERAGE_PRECISION}
    rows = []
    for column in columns:
        edges = bands.get(column, AGE_EDGES)
        named = _named(frame[column], edges)
        for name in _in_order(frame[column], named, edges):
            part = frame.filter(named == name)
            facts = {
                "attribute": column,
                "subgroup": name,
                "n": part.height,
                "groups": part["group"].n_unique(),
            }
            for metric, resampled in resample(statistics, *arrays(part, classes)).items():
                interval = resampled.interval()._asdict()
                rows.append({**facts, "metric": metric, **interval, "small": _is_small(part)})
    return pl.DataFrame(rows, schema=_SCHEMA).fill_nan(None)


def largest_gaps(subgroups: pl.DataFrame) -> pl.DataFrame:
    """Largest difference between two subgroups of each attribute.

    Small subgroups are left out, since they differ by chance; so are cases without a value.

    Args:
        subgroups: As `score_subgroups` gives it.

    Returns:
        One row for each attribute and metric: ``attribute``, ``metric``, ``gap``, and the subgroups
        ``highest`` and ``lowest``; null where fewer than two subgroups are left.
    """
    kept = pl.col("value").is_not_null() & ~pl.col("small") & (pl.col("subgroup") != MISSING)
    value, name = (pl.col(column).filter(kept) for column in ("value", "subgroup"))
    enough = kept.sum() > 1
    return subgroups.group_by("attribute", "metric", maintain_order=True).agg(
        pl.when(enough).then(value.max() - value.min()).alias("gap"),
        pl.when(enough).then(name.get(value.arg_max(), null_on_oob=True)).alias("highest"),
        pl.when(enough).then(name.get(value.arg_min(), null_on_oob=True)).alias("lowest"),
    )


_SCHEMA = {
    "attribute": pl.String,
    "subgroup": pl.String,
    "n": pl.Int64,
    "groups": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "small": pl.Boolean,
}


def _named(values: pl.Series, edges: Sequence[float]) -> pl.Series:
    """The subgroup of each case."""
    if not values.dtype.is_numeric():
        return values.cast(pl.String).fill_null(MISSING)
    numbers = values.cast(pl.Float64).to_numpy()
    bands = np.array(_bands(edges))[np.digitize(numbers, edges)]  # NaN goes to the last
    return pl.Series(np.where(np.isnan(numbers), MISSING, bands))


def _in_order(values: pl.Series, named: pl.Series, edges: Sequence[float]) -> list[str]:
    """Subgroups that occur: bands by number, others by name, missing values last."""
    present = set(named)
    known = _bands(edges) if values.dtype.is_numeric() else sorted(present - {MISSING})
    return [name for name in [*known, MISSING] if name in present]


def _bands(edges: Sequence[float]) -> list[str]:
    """``<40``, ``40-59``, ``60-79``, ``80+``; ``0.5 to <1`` where an edge is no whole number."""
    whole = all(float(edge).is_integer() for edge in edges)
    between = [
        f"{low:g}-{high - 1:g}" if whole else f"{low:g} to <{high:g}"
        for low, high in itertools.pairwise(edges)
    ]
    return [f"<{edges[0]:g}", *between, f"{edges[-1]:g}+"]


def _is_small(part: pl.DataFrame) -> bool:
    counts = part["true"].value_counts()["count"]
    return part.height < FEW_CASES or int((counts >= FEW_OF_CLASS).sum()) < 2
