"""Cases that a study can be made of, with the output of the model, and its positive classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.methods import check_methods
from vitatt.models.classifier import LesionClassifier
from vitatt.reader_study.design.model_output import SPLIT, predictions
from vitatt.reader_study.design.protocol import Protocol
from vitatt.types import UsageError, class_index
from vitatt.words import did_you_mean

CANCERS = frozenset({"BCC", "MEL", "SCC"})
"""Classes of published datasets that are cancers, positive by default."""

SKIN_TYPES = ("fitspatrick", "fitzpatrick_skin_type", "skin_tone_class")
"""Columns of published datasets with the type or tone of the skin."""


def candidate_cases(
    model: LesionClassifier, datamodule: LesionDataModule, skin_type: str | None
) -> pl.DataFrame:
    """Cases of the outer fold with the model's output, see `choose_cases`.

    Args:
        model: In evaluation mode.
        datamodule: Of the checkpoint's fold.
        skin_type: Column of the type of the skin; by default that of a published dataset.

    Raises:
        UsageError: If there is no such column.
    """
    cases, classes = datamodule.cases(SPLIT), list(model.task.classes)
    column = skin_type or next((one for one in SKIN_TYPES if one in cases.columns), None)
    if column is not None and column not in cases.columns:
        raise UsageError(
            f"Expected --skin_type to name a column of {datamodule.spec.title}, but got "
            f"'{column}'.{did_you_mean(column, cases.columns)}"
        )
    found = predictions(model, datamodule)
    truth = cases["diagnosis"].replace_strict(class_index(classes), return_dtype=pl.Int64)
    return cases.with_columns(
        pl.col("diagnosis").alias("truth"),
        pl.Series("predicted", [classes[place] for place in found.argmax(1)]),
        pl.Series("of_truth", found[np.arange(len(found)), truth.to_numpy()]),
        pl.Series("probabilities", found.tolist()),
        (pl.lit(None) if column is None else pl.col(column)).cast(pl.String).alias("skin_type"),
    )


def positive_classes(asked: Sequence[str], datamodule: LesionDataModule) -> frozenset[str]:
    """The positive classes: those asked for, else cancers and the most harmful class to miss.

    Raises:
        UsageError: If one is unknown, all are positive, or there is none by default.
    """
    classes = datamodule.spec.classes
    for name in asked:
        if name not in classes:
            raise UsageError(
                f"Expected --positive to name classes of {datamodule.spec.title}, but got '{name}'."
                f"{did_you_mean(name, classes)} It has: {', '.join(classes)}."
            )
    worst = datamodule.spec.positive
    default = {name for name in classes if name.upper() in CANCERS or name == worst}
    found = frozenset(asked or default)
    if not found or len(found) == len(classes):
        raise UsageError(
            f"Expected --positive to name some but not all classes of {datamodule.spec.title}: "
            f"{', '.join(classes)}."
        )
    return found


def check_maps(model: LesionClassifier, protocol: Protocol) -> None:
    """Check that the maps that arms show apply to the network.

    Raises:
        UsageError: If one does not; the message names those that do.
    """
    if methods := [arm.shows_map for arm in protocol.arms if arm.shows_map]:
        check_methods(model.network, methods)
