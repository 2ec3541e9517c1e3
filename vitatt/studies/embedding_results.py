"""What `embed` leaves: tables, lines for people and figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.datasets.schema import Feature
from vitatt.evaluation.bootstrap import Floats
from vitatt.plotting.embedding import embedding_figure, largest_groups
from vitatt.studies.embedding import NEIGHBOURS, TITLES, Projection, Separation


def points_table(
    cases: pl.DataFrame, predicted: list[str], views: dict[Projection, dict[str, Floats]]
) -> pl.DataFrame:
    """A row a case, method and token."""
    named = cases.select("case_id", "group", true="diagnosis").with_columns(
        pl.Series("predicted", predicted)
    )
    return pl.concat(
        named.with_columns(
            pl.Series("x", points[:, 0], dtype=pl.Float64),
            pl.Series("y", points[:, 1], dtype=pl.Float64),
            method=pl.lit(method),
            token=pl.lit(token),
        )
        for method, tokens in views.items()
        for token, points in tokens.items()
    )


def separation_table(found: dict[str, Separation]) -> pl.DataFrame:
    """A row a token and metric, with its interval."""
    return pl.DataFrame(
        [
            {"token": token, "metric": _TITLES[name], **interval._asdict()}
            for token, metrics in found.items()
            for name, interval in metrics._asdict().items()
        ]
    )


def separation_lines(found: dict[str, Separation], cases: pl.DataFrame) -> list[str]:
    """The metrics of the tokens, one below the other, for people."""
    lines = [
        f"  {token:18} {_TITLES[name]:34} {interval}"
        for name in Separation._fields
        for token, metrics in found.items()
        for interval in [getattr(metrics, name)]
    ]
    (share,) = cases["diagnosis"].value_counts(normalize=True)["proportion"].top_k(1)
    return [*lines, f"  (always the most frequent class: accuracy {share:.3f})"]


def embedding_figures(
    cases: pl.DataFrame,
    views: dict[Projection, dict[str, Floats]],
    columns: Sequence[Feature],
    found: dict[str, Separation],
    where: str,
    group: str,
) -> dict[str, NDArray[np.uint8]]:
    """A figure a method and colouring, both tokens side by side."""
    titles = {
        token: f"{token}\nsilhouette of the classes {metrics.silhouette.value:.3f}\n"
        f"accuracy of the {NEIGHBOURS} nearest {metrics.accuracy.value:.3f}"
        for token, metrics in found.items()
    }
    colourings = {
        "class": ("diagnosis", cases["diagnosis"]),
        **{feature.name: (feature.label, _named(cases, feature)) for feature in columns},
        group: (f"{group} (those with most images)", largest_groups(cases["group"])),
    }
    return {
        f"{method}_{name}": embedding_figure(
            {titles[token]: points for token, points in tokens.items()},
            values,
            title=f"{TITLES[method]}, by {what}",
            note=where,
        )
        for method, tokens in views.items()
        for name, (what, values) in colourings.items()
    }


def _named(cases: pl.DataFrame, feature: Feature) -> pl.Series:
    """The column, called what an axis of it would be."""
    unit = f", {feature.unit}" if feature.unit else ""
    return cases[feature.name].alias(f"{feature.label}{unit}")


_TITLES = {
    "silhouette": "silhouette of the classes",
    "accuracy": f"accuracy of the {NEIGHBOURS} nearest",
    "balanced_accuracy": f"balanced accuracy of the {NEIGHBOURS} nearest",
}
