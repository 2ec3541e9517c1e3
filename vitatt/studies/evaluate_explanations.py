"""The part of `explain` that tests the methods: sections for the report, tables on file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.masks import check_folder, read_mask, with_masks
from vitatt.data.metadata.association import associate
from vitatt.explain.checks.agreement import agreement, feature_importance
from vitatt.explain.methods import METHODS, TITLES, Method, explain
from vitatt.files import write_frame
from vitatt.models.classifier import LesionClassifier
from vitatt.paths import user_path
from vitatt.plotting.overview import intervals_figure
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.reports.explanations.page import Section
from vitatt.studies.batches import batches_on_device
from vitatt.studies.explanation_checks import (
    MEASURES,
    measure_faithfulness,
    measure_localization,
    measure_sanity,
    summarise_measures,
)
from vitatt.types import LesionBatch
from vitatt.words import known_words


@dataclasses.dataclass
class Evaluation:
    """How the methods are tested.

    Attributes:
        methods: To compare; occlusion is the slowest by far.
        cases: Cases of the perturbation tests and of metadata agreement, drawn at random.
        sanity_cases: Those of them that weights and images are changed for as well.
        masked_cases: Cases with a lesion mask for localisation, drawn at random.
        masks: Folder of lesion masks; by default ``masks`` in the folder of the data, if there.
        seed: Decides the draws.
    """

    methods: list[str] | str = dataclasses.field(
        default_factory=lambda: list[str](method for method in METHODS if method != "occlusion")
    )
    cases: int = 100
    sanity_cases: int = 16
    masked_cases: int = 500
    masks: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Look at the settings before the work begins.

        Raises:
            UsageError: If there is nothing to compare or to test on.
        """
        known_words(self.methods, METHODS, "evaluation.methods")
        check_ranges(_RANGES, vars(self), "evaluation")
        if self.masks is not None:
            check_folder(user_path(self.masks, "evaluation.masks"))

    def chosen(self) -> list[Method]:
        """The methods, each once."""
        return cast(list[Method], known_words(self.methods, METHODS, "evaluation.methods"))


_RANGES: Ranges = {
    "cases": Range(least=1),
    "sanity_cases": Range(least=0),
    "masked_cases": Range(least=0),
    "seed": SEED,
}


def evaluate(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: Any,
    settings: Evaluation,
    output: Path,
) -> list[Section]:
    """Run the tests, write ``measures.parquet`` and ``measures.csv``, and describe them."""
    cases = datamodule.cases(split)
    groups = dict(cases.select("case_id", "group").iter_rows())
    sample = _draw(cases, settings.cases, settings.seed)
    few = sample.head(settings.sanity_cases)

    def batches(chosen: pl.DataFrame, what: str) -> Iterator[LesionBatch]:
        return batches_on_device(model, datamodule, split, chosen, what)

    network, methods = model.network, settings.chosen()
    table = measure_faithfulness(network, batches(sample, "faithfulness"), groups, methods)
    write_frame(table, output / "measures.parquet")  # and again after each test: they take long
    if few.height:
        sanity = measure_sanity(network, batches(few, "sanity checks"), groups, methods)
        table = pl.concat([table, sanity])
        write_frame(table, output / "measures.parquet")
    masked = _masked(datamodule, cases, settings, split)
    if masked is not None:
        pairs = _with_masks(model, datamodule, split, masked)
        table = pl.concat([table, measure_localization(network, pairs, groups, methods)])
        write_frame(table, output / "measures.parquet")
    summary = summarise_measures(table)
    write_frame(summary, output / "measures.csv")
    sections = [_section(summary, measure) for measure in MEASURES if measure in table["measure"]]
    if model.network.cardinalities and len(model.task.features) > 1:
        sections.append(_agreement(model, datamodule, split, sample))
    return sections


def _draw(cases: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    return cases if cases.height <= count else cases.sample(count, seed=seed)


def cases_with_masks(
    datamodule: LesionDataModule, cases: pl.DataFrame, settings: Evaluation, split: Any
) -> pl.DataFrame | None:
    """The cases that have a lesion mask, see `with_masks`; None where there is no folder of them.

    Raises:
        DataError: If two images would have one mask.
    """
    folder = _masks_folder(datamodule, settings, split)
    return with_masks(cases, folder) if settings.masks or folder.is_dir() else None


def _masks_folder(datamodule: LesionDataModule, settings: Evaluation, split: Any) -> Path:
    if settings.masks is not None:
        return user_path(settings.masks, "evaluation.masks")
    root = datamodule.predict_root if split == "predict" else datamodule.root
    return user_path(str(root), "data.root") / "masks"


def _masked(
    datamodule: LesionDataModule, cases: pl.DataFrame, settings: Evaluation, split: Any
) -> pl.DataFrame | None:
    masked = cases_with_masks(datamodule, cases, settings, split)
    if masked is None:
        folder = _masks_folder(datamodule, settings, split)
        print(f"No lesion masks in {folder}: localisation is left out.")
        return None
    size = datamodule.task.image_size
    seen = [bool(read_mask(path, size).any()) for path in masked["mask"]]
    masked = masked.filter(pl.Series(seen, dtype=pl.Boolean))
    print(f"{masked.height} of {cases.height} cases have a mask that is not empty.")
    drawn = _draw(masked, settings.masked_cases, settings.seed)
    return drawn if drawn.height else None


def _with_masks(
    model: LesionClassifier, datamodule: LesionDataModule, split: Any, cases: pl.DataFrame
) -> Iterator[tuple[LesionBatch, Tensor]]:
    size, start = datamodule.task.image_size, 0
    for batch in batches_on_device(model, datamodule, split, cases, "localisation"):
        paths = cases["mask"][start : start + len(batch.target)]
        start += len(batch.target)
        yield batch, torch.from_numpy(np.stack([read_mask(path, size) for path in paths]))


def _section(summary: pl.DataFrame, measure: str) -> Section:
    part = summary.filter(pl.col("measure") == measure)
    title, better = MEASURES[measure]
    names = [TITLES.get(name, name) for name in part["method"]]
    values = part.select("value", "low", "high").to_numpy()
    cases, groups = part.select(pl.col("cases", "groups").max()).row(0)
    rows = [
        [name, _interval(row, ""), _interval(row, "difference_")]
        for name, row in zip(names, part.iter_rows(named=True), strict=True)
    ]
    return Section(
        title=title[0].upper() + title[1:],
        text=(
            f"{better[0].upper() + better[1:]} is better. Mean of {cases} cases of {groups} "
            "groups, for the predicted class; intervals are 95 %, resampling groups. Differences "
            "are paired, case by case."
        ),
        plot=intervals_figure(names, values, xlabel=f"{title} ({better} is better)"),
        plot_alt=f"{title}, by method, with intervals",
        columns=["method", "mean [95 %]", "minus TMME [95 %]"],
        rows=rows,
    )


def _interval(row: dict[str, Any], prefix: str) -> str | None:
    value = row["difference" if prefix else "value"]
    if value is None or math.isnan(value):
        return None
    return f"{value:.3f} [{row[prefix + 'low']:.3f}, {row[prefix + 'high']:.3f}]"


def _agreement(
    model: LesionClassifier, datamodule: LesionDataModule, split: Any, sample: pl.DataFrame
) -> Section:
    """Mean relevance of features beside other measures of their importance."""
    features = model.task.features
    dataset = datamodule.make_dataset(split, sample)
    batch = move_data_to_device(dataset.__getitems__(range(sample.height)), model.device)
    relevance = explain(model.network, batch).features[:, 0].double().cpu()
    if relevance.shape[1] != len(features):
        return Section("Metadata agreement", "All features share one token: nothing to rank.")
    shares = relevance / relevance.sum(1, keepdim=True).clamp(min=torch.finfo(relevance.dtype).tiny)
    tmme = shares.mean(0).numpy()
    if not (batch.target >= 0).any():
        return Section("Metadata agreement", "No case has a diagnosis, which permutation needs.")
    columns = {"TMME, mean share": tmme}
    importance = feature_importance(model.network, batch)
    columns["permutation, nats"] = importance.permutation
    columns["occlusion, probability"] = importance.occlusion
    if split != "predict":
        table = associate(
            datamodule.cases("train"),
            datamodule.spec.select([feature.name for feature in features]),
        )
        of = dict(table.select("feature", "association").iter_rows())
        values = [of[feature.name] for feature in features]
        columns["association in training rows"] = np.array(values, dtype=float)
    others = list(columns.items())[1:]
    alike = {name: agreement(tmme, values) for name, values in others}
    text = "Agreement of TMME with " + "; ".join(
        f"{name.split(',')[0]}: Spearman {one.spearman:.2f}, {one.overlap:.0%} of the top {one.k} "
        "in common"
        for name, one in alike.items()
    ).replace("%", " %")
    order = np.argsort(-tmme)
    rows = [[features[n].label, *(float(values[n]) for values in columns.values())] for n in order]
    return Section(
        "Metadata agreement",
        f"{text}. {sample.height} cases.",
        columns=["feature", *columns],
        rows=rows,
    )
