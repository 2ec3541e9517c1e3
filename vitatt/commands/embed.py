"""embed: where a model puts the cases, how far it sets the classes apart, and what fusion adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
import torch
from jsonargparse import ArgumentParser

from vitatt.callbacks.embedding_record import log_embedding
from vitatt.commands.checkpoint import (
    add_checkpoint_arguments,
    load_model,
    parse_with_checkpoint,
)
from vitatt.commands.parsing import joined
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.evaluation.bootstrap import Floats
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.models.classifier import LesionClassifier
from vitatt.paths import user_path
from vitatt.ranges import SEED, check_ranges
from vitatt.studies.batches import batches_on_device
from vitatt.studies.embedding import (
    Projection,
    check_separable,
    project,
    projections,
    separation,
)
from vitatt.studies.embedding_results import (
    embedding_figures,
    points_table,
    separation_lines,
    separation_table,
)
from vitatt.types import UsageError
from vitatt.words import as_words, did_you_mean

FUSED, ALONE = "fused class token", "image class token"


class _Vectors(NamedTuple):
    """Vectors (N, D) by the token they are of, and the predicted class of each case."""

    by_token: dict[str, Floats]
    predicted: list[str]


def embed(options: list[str]) -> int:
    """Write ``embedding.parquet``, ``separation.csv`` and figures, print metrics, log to W&B."""
    settings = _parse(options)
    datamodule, output, split = (
        settings.data,
        user_path(settings.output, "--output"),
        settings.split,
    )
    columns = _columns(settings.color, datamodule.spec)
    claim_folder(output)
    cases = datamodule.cases(split)
    targets = cases["diagnosis"].replace_strict(
        {name: number for number, name in enumerate(datamodule.task.classes)},
        return_dtype=pl.Int64,
    )
    groups = cases["group"].to_numpy()
    check_separable(targets.to_numpy(), groups)
    model = load_model(settings.ckpt_path)
    vectors = _vectors(model, datamodule, split, cases)
    found = {
        token: separation(values, targets.to_numpy(), groups)
        for token, values in vectors.by_token.items()
    }
    views: dict[Projection, dict[str, Floats]] = {
        method: {
            token: project(values, method, seed=settings.seed)
            for token, values in vectors.by_token.items()
        }
        for method in projections()
    }
    write_frame(points_table(cases, vectors.predicted, views), output / "embedding.parquet")
    table = separation_table(found)
    write_frame(table, output / "separation.csv")
    spec, fold_spec = datamodule.spec, model.task.fold_spec
    where = (
        f"{spec.title}, {split} split of fold {fold_spec.fold} of {fold_spec.num_folds}: "
        f"{cases.height} cases of {cases['group'].n_unique()} {spec.group}s"
    )
    print(f"{where}; intervals: 95 %, resampling {spec.group}s")
    print("\n".join(separation_lines(found, cases)))
    figures = embedding_figures(cases, views, columns, found, where, spec.group)
    for name, figure in figures.items():
        write_image(figure, output / f"{name}.png")
    print(f"Figures and tables: {output}")
    metrics = {
        f"{row['token']}/{row['metric']}".replace(" ", "_"): row["value"]
        for row in table.to_dicts()
    }
    facts = {"checkpoint": Path(settings.ckpt_path).name, "data": where, "seed": settings.seed}
    log_embedding(output, facts, metrics, figures)
    return 0


def _parse(options: list[str]) -> Any:
    parser = ArgumentParser(prog="vitatt embed", description=(__doc__ or "").split(": ")[1])
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--split",
        type=Literal["test", "val", "train"],
        default="test",
        help="the checkpoint's outer fold, or its inner splits",
    )
    parser.add_argument(
        "--color",
        type=list[str] | str | None,
        help="metadata columns to colour by, beside the class; default those of sex, site, skin",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the views")
    settings = parse_with_checkpoint(parser, joined(options, "--color"))
    check_ranges({"seed": SEED}, {"seed": settings.seed})
    return settings


def _columns(asked: list[str] | str | None, spec: DatasetSpec) -> list[Feature]:
    """The columns to colour by.

    Raises:
        UsageError: If one is not of the dataset.
    """
    known = {feature.name: feature for feature in spec.features}
    if asked is None:
        return [known[name] for name in spec.subgroups if known[name].kind == "categorical"]
    words = as_words(asked)
    if unknown := [name for name in words if name not in known]:
        raise UsageError(
            f"Expected `color` to name metadata columns of {spec.title}, but got {unknown}."
            f"{did_you_mean(unknown[0], list(known))} It has: {', '.join(known)}."
        )
    return [known[name] for name in words]


def _vectors(
    model: LesionClassifier, datamodule: LesionDataModule, split: Any, cases: pl.DataFrame
) -> _Vectors:
    """What the head is given, and the encoder's class token of the image alone."""
    encoder = model.network.encoder
    vectors: dict[str, list[torch.Tensor]] = {FUSED: []}
    predicted = []
    with torch.inference_mode():
        for batch in batches_on_device(model, datamodule, split, cases, "embedding"):
            if encoder is not None:
                tokens = encoder(batch.image)
                vectors.setdefault(ALONE, []).append(tokens[:, 0])
                if model.network.encodes_alone:  # then they can stand for the image
                    batch = batch.with_tokens(tokens)
            output = model(batch)
            vectors[FUSED].append(output.embedding)
            predicted += [model.task.classes[n] for n in output.logits.argmax(1).tolist()]
    by_token = {
        token: torch.cat(values).double().cpu().numpy() for token, values in vectors.items()
    }
    return _Vectors(by_token, predicted)
