"""A submission to an ISIC challenge and its ground truth, from CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.datasets.table_files import read_table
from vitatt.types import UsageError

UNKNOWN = "UNK"
WEIGHTS = ("score_weight", "validation_weight")
"""Columns of the ground truth that are no classes."""

_INVALID = "ISIC_0035068"
"""Published in the ground truth of 2019, and given no weight by the organisers' scorer."""

UnknownRule = Literal["one_minus_max"]


class Submission(NamedTuple):
    """Truth and predictions of the same cases.

    Attributes:
        classes: Class names, in the order of the truth.
        images: Name of each case, (N,).
        truth: One class of each case, (N, C).
        probabilities: (N, C).
        score_weight: (N,).
        validation_weight: (N,).
        notes: What was assumed, one sentence each.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    truth: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    score_weight: NDArray[np.float64]
    validation_weight: NDArray[np.float64]
    notes: tuple[str, ...]


def read_submission(
    predictions: Path, truth: Path, *, unknown: UnknownRule | None = None
) -> Submission:
    """Read predictions and truth, and match them by image.

    Args:
        predictions: CSV file with ``image`` and one probability for each class.
        truth: CSV file with ``image``, one column of 0 and 1 for each class and, if cases count
            differently, ``score_weight`` and ``validation_weight``.
        unknown: How to fill in ``UNK``, the class of no other class, if the truth has it and the
            predictions have none or 0 throughout: ``one_minus_max`` is 1 less the highest
            probability; None is 0, so that it is never predicted.

    Raises:
        UsageError: If a file cannot be read, images or classes differ, or a value is not possible.
    """
    right = _read(truth)
    classes = tuple(name for name in right.columns if name not in ("image", *WEIGHTS))
    given = _read(predictions)
    notes = []
    if UNKNOWN in classes and not (UNKNOWN in given.columns and (given[UNKNOWN] != 0).any()):
        others = pl.max_horizontal(pl.exclude("image"))
        filled, note = pl.lit(0.0), "0: no case is predicted as it"
        if unknown is not None:
            filled, note = 1 - others, "1 less the highest probability"
        given = given.with_columns(filled.alias(UNKNOWN))
        notes.append(f"{predictions} has no probability of {UNKNOWN}. It is taken as {note}.")
    elif unknown is not None:
        raise UsageError(
            f"Expected `--unknown` only where {truth} has the class {UNKNOWN} and {predictions} "
            "has no probability of it."
        )
    _same("class", classes, [name for name in given.columns if name != "image"], predictions, truth)
    _same("image", right["image"].to_list(), given["image"].to_list(), predictions, truth)
    _check_probabilities(given, classes, predictions)
    one_hot = right.select(classes).to_numpy()
    wrong = ~np.isin(one_hot, (0, 1)).all(1) | (one_hot.sum(1) != 1)
    if wrong.any():
        raise UsageError(
            f"Expected one class with 1, and 0 for all others, in each row of {truth}, but the row "
            f"of {right['image'][int(wrong.argmax())]} has other values."
        )
    matched = right.select("image").join(given, on="image", how="left", maintain_order="left")
    score_weight, validation_weight = (_weights(right, name, truth) for name in WEIGHTS)
    return Submission(
        classes,
        tuple(right["image"]),
        one_hot == 1,
        matched.select(classes).to_numpy().astype(np.float64),
        score_weight,
        validation_weight,
        tuple(notes),
    )


def _read(path: Path) -> pl.DataFrame:
    """The table of a file; image names without ending, all other columns numbers."""
    if not path.is_file():
        raise UsageError(f"Expected the table {path}, but it is not there.")
    texts, _ = read_table(path)
    if "image" not in texts.columns:
        raise UsageError(
            f"{path} lacks the column image, which names the cases of the challenges. It has "
            f"{', '.join(texts.columns)}."
        )
    others = [name for name in texts.columns if name != "image"]
    frame = texts.with_columns(pl.col(others).cast(pl.Float64, strict=False))
    for name in others:
        wrong = frame[name].is_null() & (texts[name].str.strip_chars().fill_null("") != "")
        if wrong.any():
            raise UsageError(
                f"Expected the column {name} of {path} to hold numbers, but got "
                f"'{texts[name].filter(wrong)[0]}'."
            )
    lacking = frame.filter(pl.any_horizontal(pl.all().is_null()))
    if lacking.height:
        raise UsageError(
            f"Expected a value in each field of {path}, but {lacking.height} rows have an empty "
            f"one, the first being that of {lacking['image'][0]}."
        )
    frame = frame.with_columns(pl.col("image").str.replace(r"(?i)\.jpg$", ""))
    if (twice := frame.filter(pl.col("image").is_duplicated())).height:
        raise UsageError(f"{path} has the image {twice['image'][0]} more than once.")
    if frame.width < 3 or not frame.height:
        raise UsageError(f"Expected {path} to have rows, and columns of at least two classes.")
    return frame


def _same(
    what: str, expected: Sequence[str], found: Sequence[str], predictions: Path, truth: Path
) -> None:
    if lacking := sorted(set(expected) - set(found)):
        raise UsageError(
            f"{predictions} lacks {len(lacking)} of the {what} names in {truth}: {_first(lacking)}."
        )
    if extra := sorted(set(found) - set(expected)):
        raise UsageError(
            f"{predictions} has {len(extra)} {what} names that {truth} has not: {_first(extra)}."
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _check_probabilities(given: pl.DataFrame, classes: Sequence[str], path: Path) -> None:
    outside = given.filter(pl.any_horizontal(~pl.col(*classes).is_between(0, 1)))
    if outside.height:
        raise UsageError(
            f"Expected all probabilities of {path} to be 0 to 1, but those of "
            f"{outside['image'][0]} are not ({outside.height} such rows)."
        )


def _weights(right: pl.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    if name not in right.columns:
        weights = np.ones(right.height)
    else:
        weights = right[name].to_numpy().astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise UsageError(f"Expected the column {name} of {path} to hold weights of at least 0.")
    return np.where((right["image"] == _INVALID).to_numpy(), 0.0, weights)
