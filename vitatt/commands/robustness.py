"""robustness: how far a model's metrics fall as metadata and figures get worse."""

from __future__ import annotations

import typing
from typing import Any

import polars as pl
from jsonargparse import ArgumentParser
from tqdm import tqdm

from vitatt.commands.checkpoint import (
    RUNS,
    add_checkpoint_arguments,
    load_model,
    parse_with_checkpoint,
)
from vitatt.commands.parsing import joined
from vitatt.files import claim_folder
from vitatt.models.checkpoint import find_checkpoint
from vitatt.paths import user_path
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.studies.models import NamedModel, check_comparable
from vitatt.studies.robustness import Kind, Study
from vitatt.studies.robustness_report import IMAGE_ONLY, write_results
from vitatt.studies.robustness_scores import CURVES, RESAMPLES
from vitatt.types import UsageError
from vitatt.words import known_words


def robustness(options: list[str]) -> int:
    """Write curves as tables and figures, and print them; 130 if interrupted on the way."""
    settings = _parse(options)
    output = user_path(settings.output, "--output")
    named = _named(settings)
    check_comparable(named, settings.data.task)
    claim_folder(output)
    study = _study(settings, named)
    cases = study.cases
    fold_spec, group = study.datamodule.fold_spec, study.datamodule.spec.group
    where = (
        f"{cases.height} test cases of {cases['group'].n_unique()} {group}s (fold "
        f"{fold_spec.fold} of {fold_spec.num_folds}); random draws averaged: {study.repeats}; "
        f"bands: 95 %, {RESAMPLES} resamples of {group}s"
    )
    print(where)
    rows: list[dict[str, Any]] = []
    interrupted = False
    total = study.points()
    try:
        with (output / "curves.csv").open("wb") as file, tqdm(total=total, unit="point") as bar:
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
    write_results(curves, study, output, where)
    return 130 if interrupted else 0


def _parse(options: list[str]) -> Any:
    parser = ArgumentParser(prog="vitatt robustness", description=(__doc__ or "").split(": ")[1])
    add_checkpoint_arguments(parser)
    parser.add_argument("--name", type=str, default="model", help="of the model, in figures")
    parser.add_argument(
        "--image_only",
        type=str | None,
        help="checkpoint of a model without metadata: where does the model fall below it?",
    )
    parser.add_argument(
        "--against",
        type=str,
        nargs="+",
        default=[],
        help="NAME=CHECKPOINT of other models to draw in the same figures",
    )
    parser.add_argument(
        "--kinds",
        type=list[str] | str,
        default=list(_KINDS),
        help=f"of perturbations, of {', '.join(_KINDS)}; `image` and `both` encode every figure "
        "30 times",
    )
    parser.add_argument("--sample", type=int | None, help="so many cases, at random; default all")
    parser.add_argument("--repeats", type=int, default=5, help="random draws averaged")
    parser.add_argument("--seed", type=int, default=0, help="decides the draws and the sample")
    settings = parse_with_checkpoint(parser, joined(options, "--kinds"))
    check_ranges(_RANGES, {name: getattr(settings, name) for name in _RANGES})
    settings.kinds = known_words(settings.kinds, _KINDS, "kinds")
    return settings


_KINDS = typing.get_args(Kind)
_RANGES: Ranges = {"sample": Range(least=1), "repeats": Range(least=1), "seed": SEED}


def _named(settings: Any) -> list[tuple[str, str]]:
    """Name and checkpoint of each model, the image-only one first.

    Raises:
        UsageError: If models cannot be told apart, or a checkpoint is not there.
    """
    named = [(settings.name, settings.ckpt_path)]
    for pair in settings.against:
        name, equals, path = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"Expected `against` to be NAME=CHECKPOINT, but got '{pair}'.")
        named.append((name, path))
    if settings.image_only is not None:
        named.insert(0, (IMAGE_ONLY, settings.image_only))
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"Expected each model to have a name of its own, but got {twice[0]} twice."
        )
    return [(name, str(find_checkpoint(path, RUNS))) for name, path in named]


def _study(settings: Any, named: list[tuple[str, str]]) -> Study:
    """The models and cases of the settings.

    Raises:
        UsageError: If models are not what they should be, or the data cannot be used.
    """
    datamodule = settings.data
    models = [NamedModel(name, load_model(path)) for name, path in named]
    if settings.image_only is not None:
        _check_image_only(models[0], settings.image_only)
    cases, validation = datamodule.cases("test"), datamodule.cases("val")
    if settings.sample is not None:
        cases, validation = (
            part.sample(min(settings.sample, part.height), seed=settings.seed)
            for part in (cases, validation)
        )
    return Study(
        datamodule,
        cases,
        validation,
        models,
        settings.image_only is not None,
        settings.kinds,
        settings.repeats,
        settings.seed,
    )


def _check_image_only(named: NamedModel, path: str) -> None:
    if named.network.cardinalities or named.network.encoder is None:
        raise UsageError(
            f"Expected `image_only` to be a model that sees the image alone, but {path} is a "
            f"{type(named.network).__name__}. Train one with "
            "`--model.fusion vitatt.models.fusion.image_only.ImageOnly`."
        )
