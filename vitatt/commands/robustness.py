"""robustness: how far a model's figures fall as metadata and pictures get worse."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import polars as pl
from jsonargparse import ArgumentParser
from tqdm import tqdm

from vitatt.commands.checkpoint import (
    add_checkpoint_arguments,
    make_folder,
    parse_with_checkpoint,
)
from vitatt.commands.contenders import Contender, load_contenders
from vitatt.commands.robustness_report import IMAGE_ONLY, write_results
from vitatt.commands.robustness_study import Kind, Study
from vitatt.evaluation.robustness import CURVES, RESAMPLES
from vitatt.types import UsageError


def robustness(options: list[str]) -> int:
    """Write curves as tables and pictures, and print them; 130 if interrupted on the way."""
    settings = _parse(options)
    output = Path(settings.output)
    study = _study(settings)
    make_folder(output)
    cases = study.cases
    split, group = study.datamodule.split, study.datamodule.spec.group
    where = (
        f"{cases.height} test cases of {cases['group'].n_unique()} {group}s (fold {split.fold} of "
        f"{split.num_folds}); random draws averaged: {study.repeats}; bands: 95 %, {RESAMPLES} "
        f"resamples of {group}s"
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
    parser.add_argument("--name", type=str, default="model", help="of the model, in pictures")
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
        help="NAME=CHECKPOINT of other models to draw in the same pictures",
    )
    parser.add_argument(
        "--kinds",
        type=Kind,
        nargs="+",
        default=list(typing.get_args(Kind)),
        help="of perturbations; `image` and `both` encode every picture 30 times",
    )
    parser.add_argument("--sample", type=int | None, help="so many cases, at random; default all")
    parser.add_argument("--repeats", type=int, default=5, help="random draws averaged")
    parser.add_argument("--seed", type=int, default=0, help="decides the draws and the sample")
    settings = parse_with_checkpoint(parser, options)
    for name, least in (("sample", 1), ("repeats", 1), ("seed", 0)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise UsageError(f"Expected `{name}` to be at least {least}, but got {value}.")
    return settings


def _study(settings: Any) -> Study:
    """The models and cases of the settings.

    Raises:
        UsageError: If models cannot be told apart or compared, or are not what they should be.
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
    datamodule = settings.data
    contenders = load_contenders(named, datamodule.task)
    if settings.image_only is not None:
        _check_image_only(contenders[0], settings.image_only)
    cases, validation = datamodule.part("test"), datamodule.part("val")
    if settings.sample is not None:
        cases, validation = (
            part.sample(min(settings.sample, part.height), seed=settings.seed)
            for part in (cases, validation)
        )
    kinds = list(dict.fromkeys(settings.kinds))
    return Study(
        datamodule,
        cases,
        validation,
        contenders,
        settings.image_only is not None,
        kinds,
        settings.repeats,
        settings.seed,
    )


def _check_image_only(contender: Contender, path: str) -> None:
    if contender.network.cardinalities or contender.network.encoder is None:
        raise UsageError(
            f"Expected `image_only` to be a model that sees the image alone, but {path} is a "
            f"{type(contender.network).__name__}. Train one with "
            "`--model.fusion vitatt.models.baselines.image_only.ImageOnly`."
        )
