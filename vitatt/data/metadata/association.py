"""How strongly each metadata feature goes with the diagnosis, on training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from numpy.typing import NDArray
from scipy.stats.contingency import chi2_contingency, crosstab

from vitatt.data.datasets.schema import Feature

_SCHEMA = {
    "feature": pl.String,
    "label": pl.String,
    "kind": pl.String,
    "measure": pl.String,
    "association": pl.Float64,
    "observed": pl.Int64,
    "missing": pl.Float64,
    "missing_association": pl.Float64,
}


def associate(training: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    """A table of the features, the most strongly associated first.

    Categories are measured by bias-corrected Cramér's V, numbers by the correlation ratio
    ``eta = sqrt(SS_between / SS_total)``, where the sums of squares are those of the diagnoses'
    means and of the values around the mean of all (Pearson, "On the general theory of skew
    correlation and non-linear regression", 1905). Both are 0 for no association; V is 1 if each
    determines the other, eta if the diagnosis determines the value. Eta is not corrected: of n rows
    with C diagnoses that have nothing to do with the values, eta^2 is (C - 1) / (n - 1) on average.

    Args:
        training: Rows that the model may learn from, with the column ``diagnosis``.
        features: Columns to measure.

    Returns:
        A row a feature: ``feature``, ``label``, ``kind``, ``measure``; ``association`` of the
        observed rows, null if fewer than 2 are; ``observed``, their number; ``missing``, the share
        of the others; and ``missing_association``, the bias-corrected Cramér's V of being missing
        with the diagnosis: how much the gap itself gives away.
    """
    rows = []
    for feature in features:
        pairs = training.select("diagnosis", value=feature.name)
        observed = pairs.drop_nulls("value")
        gaps = pairs.with_columns(pl.col("value").is_null())
        categorical = feature.kind == "categorical"
        rows.append(
            {
                "feature": feature.name,
                "label": feature.label,
                "kind": feature.kind,
                "measure": "Cramér's V" if categorical else "correlation ratio",
                "association": (_cramers_v if categorical else _correlation_ratio)(observed),
                "observed": observed.height,
                "missing": gaps["value"].mean(),
                "missing_association": _cramers_v(gaps),
            }
        )
    table = pl.DataFrame(rows, schema=_SCHEMA)
    return table.sort("association", descending=True, nulls_last=True, maintain_order=True)


def _cramers_v(pairs: pl.DataFrame) -> float | None:
    """Bias-corrected Cramér's V of ``value`` and ``diagnosis``.

    With ``phi^2 = chi^2 / n`` of the r x c table,
    ``V^2 = max(0, phi^2 - (r - 1)(c - 1) / (n - 1)) / min(r' - 1, c' - 1)``, where
    ``k' = k - (k - 1)^2 / (n - 1)`` (Bergsma, "A bias-correction for Cramér's V and Tschuprow's T",
    Journal of the Korean Statistical Society 2013).
    """
    n = pairs.height
    if n < 2:
        return None
    counts: NDArray[Any] = crosstab(pairs["value"].to_numpy(), pairs["diagnosis"].to_numpy()).count
    r, c = counts.shape
    # (k - 1) - (k - 1)^2 / (n - 1) as one product, which is exactly 0 where it should be.
    most = min((k - 1) * (n - k) / (n - 1) for k in (r, c))
    if most == 0:  # a constant, or a value of its own in every row: nothing can be learnt from it
        return 0.0
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    return float(min(max(phi2 - (r - 1) * (c - 1) / (n - 1), 0) / most, 1) ** 0.5)


def _correlation_ratio(pairs: pl.DataFrame) -> float | None:
    """Eta of ``value`` given ``diagnosis``."""
    if pairs.height < 2:
        return None
    if pairs["value"].n_unique() == 1:
        return 0.0
    value = pl.col("value")
    explained = value.mean().over("diagnosis").var() / value.var()
    return float(pairs.select(explained.clip(0, 1).sqrt()).item())
