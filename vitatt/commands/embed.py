"""The command `vitatt embed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from vitatt.callbacks.embedding_record import log_embedding
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.evaluation.bootstrap import Floats
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.options import NO_DATA_SETTINGS, DataSettings
from vitatt.paths import user_path
from vitatt.ranges import SEED, check_ranges
from vitatt.studies.embedding import (
    METRICS,
    embed_cases,
    embedding_figures,
    points_table,
    separation_table,
)
from vitatt.studies.inputs import datamodule_of_checkpoint, load_model
from vitatt.studies.projection import Projection, project, projections
from vitatt.studies.separation import Separation, check_separable, separation
from vitatt.types import UsageError, class_index
from vitatt.words import as_words, did_you_mean


def embed(
    *,
    ckpt_path: str,
    output: str,
    data: DataSettings = NO_DATA_SETTINGS,
    split: Literal["test", "val", "train"] = "test",
    color: Sequence[str] | str | None = None,
    seed: int = 0,
) -> int:
    """Write and print the separation of the classes in a model's vectors, with scatter plots.

    The folder holds ``embedding.parquet``, ``separation.csv`` and the figures, which W&B is given
    as well.

    Args:
        ckpt_path: The trained model; its file, the folder of its run, or `best` or `last`.
        output: New folder for all that is written.
        data: Arguments of `LesionDataModule`; dataset, task and fold are the checkpoint's.
        split: The checkpoint's outer fold (test), or its inner splits.
        color: Metadata columns to colour by, beside the class; by default those of sex, site, skin.
        seed: Seed of the projections.

    Returns:
        0.

    Raises:
        UsageError: If a setting cannot be used, there is no usable checkpoint, the folder is not
            empty or cannot be made, or the cases are too few.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    path = find_checkpoint(ckpt_path, RUNS)
    datamodule = datamodule_of_checkpoint(path, data)
    check_ranges({"seed": SEED}, {"seed": seed})
    folder = user_path(output, "--output")
    columns = _columns(color, datamodule.spec)
    claim_folder(folder)
    cases = datamodule.cases(split)
    targets = cases["diagnosis"].replace_strict(
        class_index(datamodule.task.classes), return_dtype=pl.Int64
    )
    groups = cases["group"].to_numpy()
    check_separable(targets.to_numpy(), groups)
    model = load_model(path)
    vectors = embed_cases(model, datamodule, split, cases)
    found = {
        token: separation(values, targets.to_numpy(), groups)
        for token, values in vectors.by_token.items()
    }
    views: dict[Projection, dict[str, Floats]] = {
        method: {
            token: project(values, method, seed=seed) for token, values in vectors.by_token.items()
        }
        for method in projections()
    }
    write_frame(points_table(cases, vectors.predicted, views), folder / "embedding.parquet")
    table = separation_table(found)
    write_frame(table, folder / "separation.csv")
    spec, fold_spec = datamodule.spec, model.task.fold_spec
    where = (
        f"{spec.title}, {split} split of fold {fold_spec.fold} of {fold_spec.num_folds}: "
        f"{cases.height} cases of {cases['group'].n_unique()} {spec.group}s"
    )
    print(f"{where}; intervals: 95 %, resampling {spec.group}s")
    print("\n".join(_lines(found, cases)))
    figures = embedding_figures(cases, views, columns, found, where, spec.group)
    for name, figure in figures.items():
        write_image(figure, folder / f"{name}.png")
    print(f"Figures and tables: {folder}")
    metrics = {
        f"{row['token']}/{row['metric']}".replace(" ", "_"): row["value"]
        for row in table.to_dicts()
    }
    facts = {"checkpoint": path.name, "data": where, "seed": seed}
    log_embedding(folder, facts, metrics, figures)
    return 0


def _columns(asked: Sequence[str] | str | None, spec: DatasetSpec) -> list[Feature]:
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


def _lines(found: dict[str, Separation], cases: pl.DataFrame) -> list[str]:
    """One line for each metric and token."""
    lines = [
        f"  {token:18} {METRICS[name]:34} {interval}"
        for name in Separation._fields
        for token, metrics in found.items()
        for interval in [getattr(metrics, name)]
    ]
    (share,) = cases["diagnosis"].value_counts(normalize=True)["proportion"].top_k(1)
    return [*lines, f"  (always the most frequent class: accuracy {share:.3f})"]
