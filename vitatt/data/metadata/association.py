"""Association of each metadata feature with the diagnosis, on training rows only."""

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
    """Return a table of the features, sorted by their association, strongest first.

    The association with the diagnosis is bias-corrected Cramér's V for categories, and for numbers
    the correlation ratio ``eta = sqrt(SS_between / SS_total)``, where ``SS_total`` is the sum of
    squares of the values, and ``SS_between`` that of the mean of each value's diagnosis, around the
    overall mean (Pearson, "On the general theory of skew correlation and non-linear regression",
    1905). Both are 0 without association. V is 1 if feature and diagnosis determine each other, eta
    is 1 if the diagnosis determines the value. Eta is not corrected for bias: for n rows of C
    diagnoses unrelated to the values, the mean of eta^2 is (C - 1) / (n - 1).

    Args:
        training: Rows that the model may learn from, with the column ``diagnosis``.
        features: Columns to measure.

    Returns:
        One row per feature: ``feature``, ``label``, ``kind``, ``measure``; ``association`` over the
        rows with a value, null if there are fewer than 2; ``observed``, the number of these rows;
        ``missing``, the share of the others; and ``missing_association``, the bias-corrected
        Cramér's V of being missing with the diagnosis, which is how much the gaps leak the label.
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
    """Return the bias-corrected Cramér's V of ``value`` and ``diagnosis``; None for under 2 rows.

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
    # k' - 1 = (k - 1) - (k - 1)^2 / (n - 1), factored so that it is exactly 0 for k = 1 and k = n.
    most = min((k - 1) * (n - k) / (n - 1) for k in (r, c))
    if most == 0:  # constant, or a different value in every row: no association can be measured
        return 0.0
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    return float(min(max(phi2 - (r - 1) * (c - 1) / (n - 1), 0) / most, 1) ** 0.5)


def _correlation_ratio(pairs: pl.DataFrame) -> float | None:
    """Return eta of ``value`` given ``diagnosis``; None for fewer than 2 rows."""
    if pairs.height < 2:
        return None
    if pairs["value"].n_unique() == 1:
        return 0.0
    value = pl.col("value")
    explained = value.mean().over("diagnosis").var() / value.var()
    return float(pairs.select(explained.clip(0, 1).sqrt()).item())
