"""Cases of a split explained by a model, and their relevance as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.methods import predict
from vitatt.models.classifier import LesionClassifier
from vitatt.studies.batches import batches_on_device


def explained_cases(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
    chosen: pl.DataFrame,
    methods: Sequence[str],
) -> Iterator[ExplainedCase]:
    """Yield each case explained for its predicted class and, where that is wrong, for the true one.

    Args:
        model: In evaluation mode.
        datamodule: Has the cases.
        split: Of the data.
        chosen: Rows of that split.
        methods: Methods of the maps.
    """
    values = [datamodule.describe(row) for row in chosen.iter_rows(named=True)]
    start = 0
    for batch in batches_on_device(model, datamodule, split, chosen, "explaining"):
        end = start + len(batch.target)
        predicted = predict(model.network, batch)
        yield from explain_cases(
            model.network, batch, predicted, model.task, values[start:end], methods=methods
        )
        start = end


def relevance_table(cases: Sequence[ExplainedCase]) -> pl.DataFrame:
    """One row for each case and map: relevance of patches, row by row, and of features by name."""
    return pl.DataFrame(
        [
            {
                "case_id": case.case_id,
                "true": case.true_class,
                "predicted": case.predicted_class,
                "probability": case.probability,
                "map": title,
                "patches": patches.tolist(),
                "features": [
                    {"feature": label, "relevance": float(value)}
                    for label, value in zip(case.feature_labels, features, strict=True)
                ],
            }
            for case in cases
            for (title, patches), features in zip(
                case.maps.items(), (case.map_features or {}).values(), strict=True
            )
        ],
        schema=_RELEVANCE,
    )


_RELEVANCE: dict[str, Any] = {
    "case_id": pl.String,
    "true": pl.String,
    "predicted": pl.String,
    "probability": pl.Float64,
    "map": pl.String,
    "patches": pl.List(pl.List(pl.Float32)),
    "features": pl.List(pl.Struct({"feature": pl.String, "relevance": pl.Float32})),
}
