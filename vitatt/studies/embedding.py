"""Embedding of cases: class token before and after fusion, as tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.data.datasets.schema import Feature
from vitatt.evaluation.bootstrap import Floats
from vitatt.models.classifier import LesionClassifier
from vitatt.plotting.embedding import embedding_figure, largest_groups
from vitatt.studies.batches import batches_on_device
from vitatt.studies.projection import TITLES, Projection
from vitatt.studies.separation import NEIGHBOURS, Separation

FUSED, ALONE = "fused class token", "image class token"

METRICS = {
    "silhouette": "silhouette of the classes",
    "accuracy": f"accuracy of the {NEIGHBOURS} nearest",
    "balanced_accuracy": f"balanced accuracy of the {NEIGHBOURS} nearest",
}
"""Titles of the metrics of `Separation`."""


class Embedding(NamedTuple):
    """Vectors of cases.

    Attributes:
        by_token: (N, D) by token, `FUSED` or `ALONE`.
        predicted: Predicted class of each case.
    """

    by_token: dict[str, Floats]
    predicted: list[str]


def embed_cases(
    model: LesionClassifier, datamodule: LesionDataModule, split: SplitName, cases: pl.DataFrame
) -> Embedding:
    """The fused class token that the head is given, and the encoder's of the image alone.

    Args:
        model: In evaluation mode; one without an image encoder has the fused class token only.
        datamodule: Has the images.
        split: Of the data.
        cases: Rows of that split.
    """
    encoder = model.network.encoder
    vectors: dict[str, list[torch.Tensor]] = {FUSED: []}
    predicted = []
    with torch.inference_mode():
        for batch in batches_on_device(model, datamodule, split, cases, "embedding"):
            if encoder is not None:
                if model.network.encodes_alone:  # then the network takes tokens for the image
                    batch = batch.with_tokens(encoder.encoded(batch.image).values)
                vectors.setdefault(ALONE, []).append(encoder(batch.image)[:, 0])
            output = model(batch)
            vectors[FUSED].append(output.embedding)
            predicted += [model.task.classes[n] for n in output.logits.argmax(1).tolist()]
    by_token = {
        token: torch.cat(values).double().cpu().numpy() for token, values in vectors.items()
    }
    return Embedding(by_token, predicted)


def points_table(
    cases: pl.DataFrame, predicted: list[str], views: dict[Projection, dict[str, Floats]]
) -> pl.DataFrame:
    """One row for each case, projection and token: its place in the plane.

    Args:
        cases: Rows of the split.
        predicted: Predicted class of each case.
        views: Points (N, 2) by projection and token.
    """
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
    """One row for each token and metric, with its interval."""
    return pl.DataFrame(
        [
            {"token": token, "metric": METRICS[name], **interval._asdict()}
            for token, metrics in found.items()
            for name, interval in metrics._asdict().items()
        ]
    )


def embedding_figures(
    cases: pl.DataFrame,
    views: dict[Projection, dict[str, Floats]],
    columns: Sequence[Feature],
    found: dict[str, Separation],
    where: str,
    group: str,
) -> dict[str, NDArray[np.uint8]]:
    """Scatter plots, the tokens side by side, by ``PROJECTION_COLOUR``.

    Args:
        cases: Rows of the split.
        views: Points (N, 2) by projection and token.
        columns: Metadata columns to colour by, beside diagnosis and group.
        found: Separation of the classes by token.
        where: The cases in words, for the note below.
        group: ``patient`` or ``lesion``.
    """
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
    """The column, renamed to its label and unit."""
    unit = f", {feature.unit}" if feature.unit else ""
    return cases[feature.name].alias(f"{feature.label}{unit}")
