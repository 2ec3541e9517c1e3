"""The predictions of several test runs in one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.datasets import recorded_dataset
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.paths import user_path
from vitatt.reading import read_parquet, read_yaml
from vitatt.types import LesionTask, PositiveClass, UsageError

FIXED = ("case_id", "group", "true", "predicted")
"""Columns of a table of predictions beside the probabilities ``p_CLASS`` and the metadata."""


class PooledRuns(NamedTuple):
    """Predictions of several test runs.

    Attributes:
        frame: One row for each case: `FIXED`, the probabilities ``p_CLASS`` and the metadata.
        repeats: Number of predictions of each case; their probabilities are averaged.
    """

    frame: pl.DataFrame
    repeats: int


def pool_runs(runs: Sequence[str], *, average: bool = False) -> PooledRuns:
    """Predictions of all runs in one table.

    Args:
        runs: Folders of test runs, or their ``predictions.parquet``.
        average: Average the probabilities of cases that several runs predicted.

    Raises:
        UsageError: If a file is absent, columns differ, or a case was predicted twice and is not
            averaged: pooling such predictions would count it twice.
    """
    frames: list[pl.DataFrame] = []
    for run in runs:
        path = _predictions_of(run)
        if not os.path.lexists(path):
            raise UsageError(f"Expected the predictions of `vitatt test` in {path}: no such file.")
        frame = read_parquet(path, FIXED)
        _check_probabilities(frame, path)
        if frames and frame.columns != frames[0].columns:
            raise UsageError(f"{path} has other columns than {runs[0]}: other classes or features.")
        frames.append(frame)
    try:
        pooled = pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"The predictions of these runs have columns of different kinds, and cannot be pooled: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if average:
        return _averaged(pooled)
    if twice := pooled.filter(pl.col("case_id").is_duplicated())["case_id"].unique().to_list():
        raise UsageError(
            f"{len(twice)} cases, {sorted(twice)[0]} among them, were predicted in more than one "
            "of these runs. Pool runs of different folds, or average their predictions by "
            "--average."
        )
    return PooledRuns(pooled, 1)


def positive_class(runs: Sequence[str], classes: Sequence[str]) -> PositiveClass | None:
    """The positive one of two classes, as the configurations beside the predictions name it.

    Args:
        runs: As for `pool_runs`.
        classes: Class names.

    Returns:
        None if there are not two classes, or a configuration is absent or names none.

    Raises:
        UsageError: If a configuration cannot be read, or they name different classes.
    """
    if len(classes) != 2:
        return None
    found = {_positive_in(_predictions_of(run).with_name("config.yaml")) for run in runs}
    if len(found) > 1 and None not in found:
        named = " and ".join(sorted(one.name for one in found if one is not None))
        raise UsageError(
            f"These runs have different positive classes, {named}: they are of different data."
        )
    return None if None in found else found.pop()


def matching(frame: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The other predictions, in the order of `frame`.

    Args:
        frame: Predictions to compare.
        other: Predictions of another network.

    Raises:
        UsageError: If they are of other cases, classes or diagnoses.
    """
    facts = ["case_id", "group", "true", *(n for n in frame.columns if n.startswith("p_"))]
    if lacking := [name for name in facts if name not in other.columns]:
        raise UsageError(f"The runs to compare with lack {lacking[0]}: they are of other classes.")
    matched = frame.select("case_id").join(other, on="case_id", how="left", maintain_order="left")
    same = ["case_id", "group", "true"]
    if other.height != frame.height or not matched[same].equals(frame[same]):
        raise UsageError(
            "The runs to compare with did not predict the same cases with the same diagnoses. Give "
            "test runs of the same data, folds and seed."
        )
    return matched


def check_diagnoses(frame: pl.DataFrame, classes: list[str]) -> None:
    """See that every case is of one of the classes.

    Args:
        frame: Predictions.
        classes: Class names.

    Raises:
        UsageError: If not.
    """
    wrong = frame.filter(~pl.col("true").cast(pl.String).is_in(classes).fill_null(False))
    if not wrong.is_empty():
        raise UsageError(
            f"Expected `true` of every case to be a class among {', '.join(classes)}, but it is "
            f"{wrong['true'][0]} of {wrong['case_id'][0]}: the predictions were changed."
        )


def _predictions_of(run: str) -> Path:
    """The file of predictions of a run that is named by its folder, or by this file."""
    path = user_path(run, "runs")
    # Unlike that of Path, this does not fail in a folder without permission.
    return path / "predictions.parquet" if os.path.isdir(path) else path  # noqa: PTH112


def _positive_in(path: Path) -> PositiveClass | None:
    """The positive class of the data of a run's configuration; None if there is no such file."""
    if not os.path.lexists(path):
        return None
    data = read_yaml(path).get("data")
    plain = data.get("task") if isinstance(data, dict) else None
    if not isinstance(plain, dict):
        return None
    task = LesionTask.from_plain(plain)
    spec: DatasetSpec = recorded_dataset(task.dataset, task.description, str(path)).spec
    return spec.positive_class


def _check_probabilities(frame: pl.DataFrame, path: Path) -> None:
    """See that there are probabilities, and that they are numbers.

    Raises:
        UsageError: If not.
    """
    scores = [name for name in frame.columns if name.startswith("p_")]
    if not scores:
        raise UsageError(f"{path} has no probabilities: it lacks columns named p_CLASS.")
    if wrong := [name for name in scores if not frame.schema[name].is_numeric()]:
        raise UsageError(
            f"Expected the column {wrong[0]} of {path} to hold numbers, but got "
            f"{frame.schema[wrong[0]]}: it was changed."
        )


def _averaged(predictions: pl.DataFrame) -> PooledRuns:
    """One row for each case: the mean of its probabilities, and the class they favour.

    Raises:
        UsageError: If runs disagree on a case's group or diagnosis, or predicted it unequally
            often, so that some metrics would be of more models than others.
    """
    scores = [name for name in predictions.columns if name.startswith("p_")]
    others = [name for name in predictions.columns if name not in ("case_id", "predicted", *scores)]
    cases = predictions.group_by("case_id", maintain_order=True)
    facts = cases.agg(pl.col("group", "true").n_unique()).filter(
        (pl.col("group") > 1) | (pl.col("true") > 1)
    )
    if not facts.is_empty():
        raise UsageError(
            f"The runs disagree on the group or diagnosis of {facts.height} cases, "
            f"{facts['case_id'][0]} among them: they are of different data."
        )
    counts = sorted(set(cases.len()["len"]))
    if len(counts) > 1:
        raise UsageError(
            f"Some cases were predicted in {counts[0]} of these runs and some in {counts[-1]}. "
            "Give equally many runs of each fold."
        )
    frame = cases.agg(pl.col(*scores).mean(), pl.col(*others).first())
    best = pl.concat_list(scores).list.arg_max()
    names = [name.removeprefix("p_") for name in scores]
    predicted = best.replace_strict(dict(enumerate(names)), return_dtype=pl.String)
    frame = frame.with_columns(predicted.alias("predicted")).select(predictions.columns)
    return PooledRuns(frame, counts[0])
