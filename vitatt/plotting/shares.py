"""Shares of relevance, as numbers and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitatt.plotting.heatmap import check_relevance

MAX_SERIES = 2
"""Relevance of features is shown for one or two classes."""


def feature_shares(
    labels: Sequence[str],
    values: Sequence[str | None],
    relevance: Mapping[str, NDArray[np.floating[Any]]],
) -> NDArray[np.float64]:
    """Share of each feature in the relevance of all features, (series, F).

    A series sums to one, or to zero if no feature is relevant.

    Args:
        labels: Names of the F features.
        values: The patient's own values; None where not recorded.
        relevance: Relevance (F,) by title; one or two.

    Raises:
        ValueError: If lengths do not match, or relevance is negative or not finite.
    """
    if len(values) != len(labels):
        raise ValueError(
            f"Expected one value for each of {len(labels)} feature labels, but got {len(values)}"
        )
    if not 1 <= len(relevance) <= MAX_SERIES:
        raise ValueError(
            f"Expected the relevance of features under one or two titles, but got {list(relevance)}"
        )
    shares = []
    for title, series in relevance.items():
        name = f"feature_relevance['{title}']"
        checked = check_relevance(series, name, ndim=1)
        if checked.size != len(labels):
            raise ValueError(
                f"Expected argument `{name}` to have shape ({len(labels)},), "
                f"but got shape {checked.shape}"
            )
        # Divided by the maximum first: a sum of huge values would overflow, of tiny ones underflow.
        checked = checked / (checked.max(initial=0) or 1.0)
        shares.append(checked / (checked.sum() or 1.0))
    return np.stack(shares)


def format_percent(share: float) -> str:
    """A share in whole percent; above 0 at least ``<1 %``, below 1 at most ``>99 %``."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1 - 1e-9:
        return ">99 %"
    return f"{100 * share:.0f} %"
