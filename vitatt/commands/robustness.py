"""The command `vitatt robustness`."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
from tqdm import tqdm

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.options import NO_DATA_SETTINGS, DataSettings
from vitatt.paths import user_path
from vitatt.plotting.robustness import Axis
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.reports.robustness import robustness_page
from vitatt.studies.inputs import datamodule_of_checkpoint, load_model
from vitatt.studies.models import NamedModel, check_comparable
from vitatt.studies.robustness import Kind, RobustnessStudy
from vitatt.studies.robustness_results import (
    IMAGE_ONLY,
    TITLES,
    axis_of,
    curves_summary,
    importance_table,
    robustness_figures,
)
from vitatt.studies.robustness_scores import CURVES, RESAMPLES, falls_below
from vitatt.types import UsageError
from vitatt.words import as_list, known_words

KINDS: tuple[Kind, ...] = typing.get_args(Kind)

_RANGES: Ranges = {"sample": Range(least=1), "repeats": Range(least=1), "seed": SEED}


def robustness(
    *,
    ckpt_path: str,
    output: str,
    data: DataSettings = NO_DATA_SETTINGS,
    name: str = "model",
    image_only: str | None = None,
    against: Sequence[str] | str = (),
    kinds: Sequence[str] | str = KINDS,
    sample: int | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> int:
    """Measure the metrics of models when metadata is missing or wrong, or images are corrupted.

    The folder holds the curves as tables and figures, and ``report.html``.

    Args:
        ckpt_path: The trained model; its file, the folder of its run, or `best` or `last`.
        output: New folder for all that is written.
        data: Arguments of `LesionDataModule`; dataset, task and fold are the checkpoint's.
        name: Name of the model in figures.
        image_only: Checkpoint of a model without metadata: where does the model fall below it?
        against: NAME=CHECKPOINT of other models to draw in the same figures.
        kinds: Kinds of perturbations, of missing, noise, image, both and, of cases with several
            views, view; image and both encode every image 30 times.
        sample: Number of cases, at random; by default all.
        repeats: Random draws averaged.
        seed: Seed of the draws and the sample.

    Returns:
        0, or 130 if interrupted on the way: the points measured so far are kept.

    Raises:
        UsageError: If a setting cannot be used, there is no usable checkpoint, the checkpoints
            cannot be compared, or the folder is not empty or cannot be made.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    path = find_checkpoint(ckpt_path, RUNS)
    datamodule = datamodule_of_checkpoint(path, data)
    check_ranges(_RANGES, {"sample": sample, "repeats": repeats, "seed": seed})
    chosen = cast(list[Kind], known_words(kinds, KINDS, "kinds"))
    if not datamodule.spec.views:
        chosen = [kind for kind in chosen if kind != "view"]
    if not chosen:
        raise UsageError(
            "Expected `--kinds` to have another kind than view: the cases of "
            f"{datamodule.spec.title} are one image each."
        )
    folder = user_path(output, "--output")
    named = _named(name, path, image_only, as_list(against))
    check_comparable(named, datamodule.task)
    claim_folder(folder)
    models = [NamedModel(one, load_model(place)) for one, place in named]
    if image_only is not None:
        _check_image_only(models[0], image_only)
    cases, validation = (_sample(datamodule, split, sample, seed) for split in ("test", "val"))
    study = RobustnessStudy(
        datamodule, cases, validation, models, image_only is not None, chosen, repeats, seed
    )
    fold_spec, group = datamodule.fold_spec, datamodule.spec.group
    where = (
        f"{cases.height} test cases of {cases['group'].n_unique()} {group}s (fold "
        f"{fold_spec.fold} of {fold_spec.num_folds}); random draws averaged: {study.repeats}; "
        f"bands: 95 %, {RESAMPLES} resamples of {group}s"
    )
    print(where)
    for one in study.ranked():
        print(f"Importance of features to `{one.name}`: {validation.height} cases.")
        study.measure_importance(one)
    curves, interrupted = _measure(study, folder / "curves.csv")
    facts = {
        "checkpoint": path.name,
        "data": f"{datamodule.spec.title}, test split of fold {fold_spec.fold} of "
        f"{fold_spec.num_folds}",
        "cases": f"{cases.height}",
        "models": ", ".join(one.name for one in models),
    }
    _write(curves, study, folder, where, facts)
    return 130 if interrupted else 0


def _named(
    name: str, path: Path, image_only: str | None, against: Sequence[str]
) -> list[tuple[str, str]]:
    """Name and checkpoint of each model, the image-only one first.

    Raises:
        UsageError: If two models have one name, or a checkpoint is not there.
    """
    named = [(name, str(path))]
    for pair in against:
        other, equals, checkpoint = pair.partition("=")
        if not equals or not other:
            raise UsageError(f"Expected `against` to be NAME=CHECKPOINT, but got '{pair}'.")
        named.append((other, checkpoint))
    if image_only is not None:
        named.insert(0, (IMAGE_ONLY, image_only))
    names = [one for one, _ in named]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise UsageError(
            f"Expected each model to have a name of its own, but got {twice[0]} twice."
        )
    return [(one, str(find_checkpoint(checkpoint, RUNS))) for one, checkpoint in named]


def _check_image_only(named: NamedModel, path: str) -> None:
    if named.network.cardinalities or named.network.encoder is None:
        raise UsageError(
            f"Expected `image_only` to be a model that sees the image alone, but {path} is a "
            f"{type(named.network).__name__}. Train one with "
            "`--model.fusion image_only`."
        )


def _sample(
    datamodule: LesionDataModule, split: SplitName, count: int | None, seed: int
) -> pl.DataFrame:
    cases = datamodule.cases(split)
    return cases if count is None else cases.sample(min(count, cases.height), seed=seed)


def _measure(study: RobustnessStudy, path: Path) -> tuple[pl.DataFrame, bool]:
    """The curves, also on file, and whether Ctrl-C ended the measurement.

    Raises:
        KeyboardInterrupt: If it did so before the first point.
    """
    rows: list[dict[str, Any]] = []
    total, interrupted = study.points(), False
    try:
        with path.open("wb") as file, tqdm(total=total, unit="point") as bar:
            for point in study.measure():
                # As they come, so that a process that is killed leaves what it has measured.
                pl.DataFrame(point, schema=CURVES).write_csv(file, include_header=not rows)
                file.flush()
                rows += point
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
        if not rows:
            raise
    curves = pl.DataFrame(rows, schema=CURVES)
    if interrupted:
        done = curves.select("model", "kind", "perturbation", "level").n_unique()
        print(f"Interrupted: {done} of {total} points are measured and are kept.")
    return curves, interrupted


def _write(
    curves: pl.DataFrame,
    study: RobustnessStudy,
    folder: Path,
    where: str,
    facts: Mapping[str, str],
) -> None:
    """Write tables, figures and ``report.html``, and print one line for each curve."""
    write_frame(curves, folder / "curves.parquet")
    crossings = falls_below(curves) if study.has_reference else None
    if crossings is not None:
        write_frame(crossings, folder / "falls_below.csv")
    importance = importance_table(study)
    if importance.height:
        write_frame(importance, folder / "importance.csv")
    summary = curves_summary(curves)
    figures = robustness_figures(curves, study, where)
    for kind, figure in figures.items():
        write_image(figure, folder / f"{kind}.png")
        print(f"{TITLES[kind]}: {folder / f'{kind}.png'}")
        for row in summary.filter(kind=kind).iter_rows(named=True):
            print(_line(row, compared=study.has_reference and row["model"] != IMAGE_ONLY))
    print(f"Tables: {folder / 'curves.csv'} (and .parquet)")
    robustness_page(
        folder / "report.html",
        title=f"Robustness: {study.datamodule.spec.title}",
        facts=facts,
        curves=curves,
        summary=crossings,
        figures=figures,
        notes=[f"{where}."],
    )
    print(f"Report: {folder / 'report.html'}")


def _line(row: dict[str, Any], *, compared: bool) -> str:
    """A curve in words: its first and last point, and where it falls below the image-only model."""
    axis = axis_of(row["perturbation"])
    text = f"  {row['model']:12} {axis.title:24} {row['metric']:18} {row['undisturbed']:.3f}"
    if row["level"] > 0:
        text += (
            f" -> {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] at "
            f"{_level(axis, row['level'])}"
        )
    if compared:
        text += f"; below image-only at {_level(axis, row['below_at'])}"
        text += f", with its whole interval at {_level(axis, row['surely_below_at'])}"
    return text


def _level(axis: Axis, level: float | None) -> str:
    if level is None:
        return "no level"
    return f"{level * 100:g} %" if axis.percent else f"{level:g}"
