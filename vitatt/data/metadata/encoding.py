"""Soft one-hot encoding of metadata, fitted on training rows only."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.datasets.schema import Feature
from vitatt.types import DataError, FeatureEncoding

Value = str | float | None
"""A category, a number, or None where nothing was observed."""


class EncodedMetadata(NamedTuple):
    """Metadata of N cases as numbers.

    Attributes:
        soft_one_hot: Probability vectors of all features side by side, (N, sum of K_f) float32.
            A missing feature is uniform.
        missing: True where a feature was not observed, (N, F) bool.
    """

    soft_one_hot: NDArray[np.float32]
    missing: NDArray[np.bool_]


def fit_features(
    training: pl.DataFrame, features: Sequence[Feature], *, num_bins: int
) -> tuple[FeatureEncoding, ...]:
    """Learn categories and bin centres from training rows.

    Args:
        training: Rows that the model may learn from.
        features: Columns to encode.
        num_bins: Bins of a numeric feature; fewer where its quantiles coincide.

    Raises:
        DataError: If a feature is missing in every training row, or `num_bins` is below 2.
    """
    if num_bins < 2:
        raise DataError(f"Expected `data.num_bins` to be at least 2, but got {num_bins}.")
    fitted = []
    for feature in features:
        observed = training[feature.name].drop_nulls()
        if observed.is_empty():
            raise DataError(
                f"The feature '{feature.name}' is missing in all {training.height} training rows. "
                "Remove it from `data.features`."
            )
        encoding = FeatureEncoding(feature.name, feature.label, feature.kind, feature.unit)
        if feature.kind == "categorical":
            categories = tuple(observed.unique().sort().to_list())
            encoding = dataclasses.replace(encoding, categories=categories)
        else:
            quantiles = np.quantile(observed.to_numpy(), np.linspace(0, 1, num_bins))
            encoding = dataclasses.replace(
                encoding, centres=tuple(float(q) for q in np.unique(quantiles))
            )
        fitted.append(encoding)
    return tuple(fitted)


def encode(
    cases: pl.DataFrame, features: Sequence[FeatureEncoding], *, smoothing: float
) -> EncodedMetadata:
    """Soft one-hot vectors of cases.

    A category gets ``1 - smoothing`` and the others share ``smoothing`` (of K categories each gets
    ``smoothing / (K - 1)``). A number is shared linearly between its two nearest bin centres;
    beyond the ends it is the end bin's. A category not seen in training counts as missing, with one
    warning that names it.

    Raises:
        DataError: If `smoothing` is outside [0, 1).
    """
    columns = [cases[feature.name].to_list() for feature in features]
    return _encode(columns, cases.height, features, smoothing)


def encode_rows(
    rows: Sequence[Mapping[str, Value]], features: Sequence[FeatureEncoding], *, smoothing: float
) -> EncodedMetadata:
    """Soft one-hot vectors of cases given by row, see `encode`.

    Args:
        rows: Values by column; each row has all of the features.
        features: Columns to encode.
        smoothing: Probability mass that the other categories share.

    Raises:
        DataError: If `smoothing` is outside [0, 1).
    """
    columns = [[row[feature.name] for row in rows] for feature in features]
    return _encode(columns, len(rows), features, smoothing)


def describe_values(
    row: dict[str, object], features: Sequence[FeatureEncoding]
) -> list[str | None]:
    """A case's own values as people write them, ``55 years`` or ``yes``; None where missing."""
    texts: list[str | None] = []
    for feature in features:
        value = row[feature.name]
        if value is None:
            texts.append(None)
        elif feature.kind == "numeric":
            texts.append(f"{value:g} {feature.unit}".strip())
        else:
            texts.append({"True": "yes", "False": "no"}.get(str(value), str(value).lower()))
    return texts


def _encode(
    columns: Sequence[Sequence[Value]],
    count: int,
    features: Sequence[FeatureEncoding],
    smoothing: float,
) -> EncodedMetadata:
    if not 0 <= smoothing < 1:
        raise DataError(f"Expected `data.smoothing` to be in [0, 1), but got {smoothing}.")
    blocks, missing = [], []
    for feature, column in zip(features, columns, strict=True):
        block, absent = (
            _encode_categories(column, feature, smoothing)
            if feature.kind == "categorical"
            else _encode_numbers(column, feature)
        )
        block[absent] = 1 / feature.cardinality
        blocks.append(block)
        missing.append(absent)
    if not blocks:
        return EncodedMetadata(np.zeros((count, 0), np.float32), np.zeros((count, 0), np.bool_))
    return EncodedMetadata(np.concatenate(blocks, axis=1), np.stack(missing, axis=1))


def _encode_categories(
    column: Sequence[Value], feature: FeatureEncoding, smoothing: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    count = feature.cardinality
    codes: dict[Value, int] = {name: code for code, name in enumerate(feature.categories)}
    index = np.array([codes.get(value, -1) for value in column], np.int64)
    absent = index < 0
    if unseen := [str(value) for value in column if value is not None and value not in codes]:
        warnings.warn(
            f"Feature '{feature.name}' has values that training did not see: "
            f"{', '.join(sorted(set(unseen)))} ({len(unseen)} cases). They count as missing.",
            stacklevel=4,
        )
    off = smoothing / (count - 1) if count > 1 else 0.0
    block = np.full((len(column), count), off, np.float32)
    block[np.arange(len(column)), index] = 1 - smoothing if count > 1 else 1.0
    return block, absent


def _encode_numbers(
    column: Sequence[Value], feature: FeatureEncoding
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    centres = np.asarray(feature.centres)
    values = np.array(column, np.float64)  # NaN where missing
    absent = np.isnan(values)
    position = np.interp(np.where(absent, 0, values), centres, np.arange(len(centres)))
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, len(centres) - 1)
    rows = np.arange(len(column))
    block = np.zeros((len(column), len(centres)), np.float32)
    block[rows, lower] += 1 - (position - lower)
    block[rows, upper] += position - lower
    return block, absent
