"""summarise: the metrics of several test runs pooled, each with its interval."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
from jsonargparse import ArgumentParser

from vitatt.evaluation.summary import summarise as summary_of
from vitatt.paths import user_path
from vitatt.reading import read_parquet
from vitatt.types import UsageError

_FIXED = ("case_id", "group", "true", "predicted")


def summarise(options: list[str]) -> int:
    """Print the metrics of all predictions together."""
    parser = ArgumentParser(prog="vitatt summarise", description=(__doc__ or "").split(": ")[1])
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        help="folders of test runs (or their predictions.parquet), of different folds",
    )
    parser.add_argument(
        "--average",
        action="store_true",
        help="average the probabilities of cases that several runs predicted (other inner folds "
        "or seeds of the same outer fold)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        help="test runs of another network on the same cases: the differences to it, paired",
    )
    settings = parser.parse_args(options)
    frame = _pool(settings.runs, average=settings.average)
    scores = [name for name in frame.columns if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in scores]
    _check_diagnoses(frame, classes)
    features = [name for name in frame.columns if name not in (*_FIXED, *scores)]
    print(f"{frame.height} cases of {frame['group'].n_unique()} groups")
    print("\n".join(summary_of(frame, classes, features).lines()))
    if settings.against:
        other = _matching(frame, _pool(settings.against, average=settings.average))
        print(f"Less the same metrics of the other {len(settings.against)} runs")
        print("\n".join(summary_of(frame, classes, features, other).lines()))
    return 0


def _matching(frame: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The other predictions, in the order of `frame`.

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


def _pool(runs: list[Path], *, average: bool) -> pl.DataFrame:
    """Predictions of all runs in one table.

    Raises:
        UsageError: If a file is absent, columns differ, or a case was predicted twice: pooling such
            predictions would count it twice.
    """
    frames: list[pl.DataFrame] = []
    for run in runs:
        path = user_path(str(run), "runs")
        # Unlike those of Path, these do not fail where it is forbidden to look.
        if os.path.isdir(path):  # noqa: PTH112
            path /= "predictions.parquet"
        if not os.path.lexists(path):
            raise UsageError(f"Expected the predictions of `vitatt test` in {path}: no such file.")
        frame = read_parquet(path, _FIXED)
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
    return pooled


def _check_probabilities(frame: pl.DataFrame, path: Path) -> None:
    """See that there are some, as numbers.

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


def _check_diagnoses(frame: pl.DataFrame, classes: list[str]) -> None:
    """See that every case is of one of the classes.

    Raises:
        UsageError: If not.
    """
    wrong = frame.filter(~pl.col("true").cast(pl.String).is_in(classes).fill_null(False))
    if not wrong.is_empty():
        raise UsageError(
            f"Expected `true` of every case to be a class among {', '.join(classes)}, but it is "
            f"{wrong['true'][0]} of {wrong['case_id'][0]}: the predictions were changed."
        )


def _averaged(predictions: pl.DataFrame) -> pl.DataFrame:
    """A row a case: the mean of its probabilities, and the class they favour.

    Raises:
        UsageError: If runs disagree on a case's group or diagnosis, or predicted it unequally
            often, so that some metrics would rest on more models than others.
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
    print(f"Averaging {counts[0]} predictions of each case.")
    frame = cases.agg(pl.col(*scores).mean(), pl.col(*others).first())
    best = pl.concat_list(scores).list.arg_max()
    names = [name.removeprefix("p_") for name in scores]
    predicted = best.replace_strict(dict(enumerate(names)), return_dtype=pl.String)
    return frame.with_columns(predicted.alias("predicted")).select(predictions.columns)
