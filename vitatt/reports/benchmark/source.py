"""Protocol, predictions and tables, read from the folder of a benchmark or of a test run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from vitatt.benchmark.tables import write_tables
from vitatt.data.datasets import recorded_dataset
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.out_of_fold import average_seeds, check_out_of_fold
from vitatt.evaluation.subgroups import largest_gaps, score_subgroups
from vitatt.files import check_writable
from vitatt.models.fusion.configuration import with_names
from vitatt.reading import read_csv, read_json, read_parquet, read_yaml
from vitatt.reports.benchmark.facts import Facts
from vitatt.types import LesionTask, UsageError


class Source(NamedTuple):
    """Protocol, predictions and tables.

    Attributes:
        facts: The protocol.
        predictions: Out-of-fold predictions.
        tables: ``arms``, ``subgroups`` and ``gaps``; of a benchmark also ``pairs`` and ``ranks``.
    """

    facts: Facts
    predictions: pl.DataFrame
    tables: dict[str, pl.DataFrame]


def read_benchmark(folder: Path) -> Source:
    """A benchmark; its tables are computed if they are absent or older than the predictions.

    Raises:
        UsageError: If it is not finished, or a file is malformed.
    """
    path = folder / "protocol.json"
    plain = read_json(path)
    spec = _spec(plain.get("dataset"), plain.get("description", ""), path)
    facts = Facts.from_plain(plain, str(path))
    if unknown := set(facts.classes) - set(spec.classes):
        raise UsageError(
            f"Expected `classes` of {path} to be those of {spec.title}, {', '.join(spec.classes)}, "
            f"but got '{min(unknown)}'."
        )
    if facts.reference not in facts.arms:
        raise UsageError(
            f"Expected `reference` of {path} to be one of its arms, {', '.join(facts.arms)}, but "
            f"got '{facts.reference}'."
        )
    predictions = _predictions(
        folder,
        _OF_TRAININGS,
        facts.classes,
        "the benchmark is not finished: run the same `vitatt benchmark` again",
    )
    for column, expected in (
        ("arm", set(facts.arms)),
        ("seed", set(facts.seeds)),
        ("fold", set(range(facts.num_folds))),
    ):
        if (found := set(predictions[column])) != expected:
            raise UsageError(
                f"Expected {folder / 'predictions.parquet'} to have every {column} of {path}, "
                f"{sorted(expected)}, but it has {sorted(found)}: the benchmark was changed and "
                "is not finished. Run the same `vitatt benchmark` again."
            )
    files = {
        name: (folder / "tables" / f"{name}.csv", columns) for name, columns in _TABLES.items()
    }
    written = (folder / "predictions.parquet").stat().st_mtime
    if all(file.is_file() and file.stat().st_mtime >= written for file, _ in files.values()):
        tables = {name: read_csv(file, columns, _TYPES) for name, (file, columns) in files.items()}
    else:
        check_out_of_fold(predictions)
        for file, _ in files.values():
            check_writable(file, "the table", again=True)
        tables = write_tables(
            predictions,
            folder / "tables",
            classes=facts.classes,
            features=facts.features,
            subgroups=spec.subgroups,
            reference=facts.reference,
            positive=facts.positive_class,
            bands=spec.bands,
        )
    return Source(facts, predictions, {**tables, "gaps": largest_gaps(tables["subgroups"])})


def read_run(folder: Path) -> Source:
    """A run of `vitatt test`.

    Raises:
        UsageError: If it is a training, or a file is malformed.
    """
    path = folder / "config.yaml"
    config = with_names(read_yaml(path))
    plain = _at(config, "data", "task")
    if not isinstance(plain, dict):
        raise UsageError(
            f"{path} is not of a test: a report needs the metrics of an outer fold. Run `vitatt "
            "test --ckpt_path BEST.ckpt` with the options of the training, and give its run folder."
        )
    task = LesionTask.from_plain(plain)
    encoder, frozen = _at(config, "model", "encoder"), _at(config, "model", "freeze_encoder")
    fusion = _at(config, "model", "fusion", "class_path")
    for key, value in (("model.encoder", encoder), ("model.fusion.class_path", fusion)):
        if not isinstance(value, str):
            raise UsageError(
                f"Expected `{key}` in {path} to be a name, but got {value}: the file was changed."
            )
    spec = _spec(task.dataset, task.description, path)
    found = _predictions(
        folder,
        ("case_id", "group", "true"),
        task.classes,
        "the test did not end: run it again",
    )
    arm = str(fusion).rsplit(".", 1)[-1]
    predictions = found.with_columns(
        arm=pl.lit(arm),
        fold=pl.lit(task.fold_spec.fold),
        seed=pl.lit(0),  # one model; the run does not record its seed
        temperature=pl.lit(1.0),
    )
    check_out_of_fold(predictions)
    facts = _run_facts(folder, (str(encoder), frozen is True), task, spec, arm, predictions)
    arms = score_arms(predictions, task.classes, facts.features, facts.positive_class)
    attributes = [name for name in spec.subgroups if name in predictions.columns]
    subgroups = score_subgroups(
        average_seeds(predictions),
        task.classes,
        attributes,
        bands=spec.bands,
        positive=facts.positive_class,
    )
    tables = {
        # No temperature was fitted: metrics after it would equal those before.
        "arms": arms.filter(~pl.col("metric").str.ends_with(", tempered")),
        "subgroups": subgroups,
        "gaps": largest_gaps(subgroups),
    }
    return Source(facts, predictions, tables)


_OF_TRAININGS = ("arm", "fold", "seed", "case_id", "group", "true", "temperature")
_SCORED = ("n", "groups", "metric", "value", "low", "high")
_TABLES: dict[str, tuple[str, ...]] = {
    "arms": ("arm", "cases", *_SCORED, "single", "single_low", "single_high"),
    "pairs": ("metric", "arm", "reference", "difference", "low", "high", "p", "p_holm", "pairs"),
    "ranks": ("metric", "arm", "mean_rank", "blocks", "friedman_p", "critical_difference"),
    "subgroups": ("attribute", "subgroup", *_SCORED, "small"),
}
"""Columns of each table."""

# Polars would infer another type for a column without values, or for names of digits.
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(("arm", "cases", "metric", "reference", "attribute", "subgroup"), pl.String),
    **dict.fromkeys(
        ("value", "low", "high", "single", "single_low", "single_high", "difference"), pl.Float64
    ),
    **dict.fromkeys(("n", "groups", "pairs", "blocks"), pl.Int64),
    "small": pl.Boolean,
    **dict.fromkeys(("p", "p_holm", "mean_rank", "friedman_p", "critical_difference"), pl.Float64),
}

_WITHOUT_IMAGE = ("metadata_only", "missing_pattern")


def _spec(dataset: object, description: object, path: Path) -> DatasetSpec:
    if not isinstance(dataset, str) or not isinstance(description, str):
        raise UsageError(
            f"Expected {path} to name a dataset, but got '{dataset}': the file was changed."
        )
    spec: DatasetSpec = recorded_dataset(dataset, description, f"`dataset` of {path}").spec
    return spec


def _at(config: dict[str, Any], *keys: str) -> Any:
    """The value at a place of a configuration; None if there is none."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _predictions(
    folder: Path, columns: Sequence[str], classes: Sequence[str], remedy: str
) -> pl.DataFrame:
    path = folder / "predictions.parquet"
    if not os.path.lexists(path):
        raise UsageError(f"Expected predictions in {path}, but there is no such file: {remedy}.")
    scores = [f"p_{name}" for name in classes]
    numbers = (*scores, "fold", "seed", "temperature")
    frame = read_parquet(path, [*columns, *scores], numbers)
    if unknown := set(frame["true"].cast(pl.String, strict=False)) - set(classes):
        raise UsageError(
            f"Expected `true` in {path} to be a class among {', '.join(classes)}, but got "
            f"{next(iter(unknown))}."
        )
    return frame


def _run_facts(
    folder: Path,
    encoder: tuple[str, bool],
    task: LesionTask,
    spec: DatasetSpec,
    arm: str,
    predictions: pl.DataFrame,
) -> Facts:
    counts = dict(predictions["true"].value_counts().iter_rows())
    names = [feature.name for feature in task.features]
    return Facts(
        dataset=task.dataset,
        title=spec.title,
        classes=task.classes,
        class_titles=spec.class_titles,
        group=spec.group,
        features=tuple(name for name in names if name in predictions.columns),
        feature_labels={feature.name: feature.label for feature in task.features},
        cases=predictions.height,
        groups=predictions["group"].n_unique(),
        class_counts={name: counts.get(name, 0) for name in task.classes},
        num_folds=task.fold_spec.num_folds,
        inner_folds=task.fold_spec.inner_folds,
        seeds=(),
        encoder=None if arm in _WITHOUT_IMAGE else encoder[0],
        frozen=encoder[1],
        image_size=task.image_size,
        reference=arm,
        arms={arm: {"title": arm, "source": ""}},
        command=shlex.join(["vitatt", "test", "--config", str(folder / "config.yaml")]),
        positive=spec.positive,
        fold=task.fold_spec.fold,
    )
