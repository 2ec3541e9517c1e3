"""Checks of explanation methods on cases of a split: tables of measures, and results to show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.data.images.masks import check_folder, read_mask, with_masks
from vitatt.evaluation.bootstrap import Interval
from vitatt.explain.methods import METHODS
from vitatt.models.classifier import LesionClassifier
from vitatt.paths import user_path
from vitatt.plotting.overview import intervals_figure
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.studies.batches import batches_on_device
from vitatt.studies.check_result import CheckResult
from vitatt.studies.explanation_measures import (
    MEASURES,
    measure_faithfulness,
    measure_localization,
    measure_sanity,
)
from vitatt.studies.metadata_agreement import metadata_agreement
from vitatt.types import LesionBatch
from vitatt.words import known_words


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Checks of the methods.

    Attributes:
        methods: Methods to compare; occlusion is the slowest by far.
        cases: Number of cases for perturbation tests and metadata agreement, drawn at random.
        sanity_cases: Number of them for the sanity checks, which randomise weights and add noise.
        masked_cases: Number of cases with a lesion mask for localisation, drawn at random.
        masks: Folder of lesion masks; by default ``masks`` in the folder of the data, if there.
        seed: Seed of the draws.
    """

    methods: Sequence[str] | str = tuple(method for method in METHODS if method != "occlusion")
    cases: int = 100
    sanity_cases: int = 16
    masked_cases: int = 500
    masks: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Check the settings before the work begins.

        Raises:
            UsageError: If there is nothing to compare or to test on.
        """
        known_words(self.methods, list(METHODS), "evaluation.methods")
        check_ranges(_RANGES, vars(self), "evaluation")
        if self.masks is not None:
            check_folder(user_path(self.masks, "evaluation.masks"))

    def chosen(self) -> list[str]:
        """Names of the methods, each once."""
        return known_words(self.methods, list(METHODS), "evaluation.methods")


ALL_CHECKS = Evaluation()
"""The checks with their default methods and numbers of cases."""

_RANGES: Ranges = {
    "cases": Range(least=1),
    "sanity_cases": Range(least=0),
    "masked_cases": Range(least=0),
    "seed": SEED,
}


def masked_cases(
    datamodule: LesionDataModule, cases: pl.DataFrame, settings: Evaluation, split: SplitName
) -> pl.DataFrame | None:
    """The cases that have a lesion mask which is not empty; None where there is no folder of them.

    Args:
        datamodule: Has the cases.
        cases: Rows of the split.
        settings: Say which folder.
        split: Of the data.

    Returns:
        Rows of `cases`, with the path of the ``mask``.

    Raises:
        DataError: If a mask cannot be read, or two images would have one mask.
    """
    masked = cases_with_masks(datamodule, cases, settings, split)
    if masked is None:
        return None
    size = datamodule.task.image_size
    seen = [bool(read_mask(path, size).any()) for path in masked["mask"]]
    return masked.filter(pl.Series(seen, dtype=pl.Boolean))


def measure_explanations(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
    settings: Evaluation,
    masked: pl.DataFrame | None,
) -> Iterator[pl.DataFrame]:
    """Yield the table of measures after each check; the last one is complete.

    Args:
        model: In evaluation mode.
        datamodule: Has the cases.
        split: Of the data.
        settings: Methods, and numbers of cases.
        masked: From `masked_cases`.

    Yields:
        Tables as of `measure_faithfulness`, each with the rows of the one before.
    """
    cases = datamodule.cases(split)
    groups = dict(cases.select("case_id", "group").iter_rows())
    sample = _draw(cases, settings.cases, settings.seed)
    few = sample.head(settings.sanity_cases)

    def batches(chosen: pl.DataFrame, what: str) -> Iterator[LesionBatch]:
        return batches_on_device(model, datamodule, split, chosen, what)

    network, methods = model.network, settings.chosen()
    table = measure_faithfulness(network, batches(sample, "faithfulness"), groups, methods)
    yield table
    if few.height:
        sanity = measure_sanity(network, batches(few, "sanity checks"), groups, methods)
        table = pl.concat([table, sanity])
        yield table
    drawn = None if masked is None else _draw(masked, settings.masked_cases, settings.seed)
    if drawn is not None and drawn.height:
        pairs = _with_masks(model, datamodule, split, drawn)
        yield pl.concat([table, measure_localization(network, pairs, groups, methods)])


def check_results(
    summary: pl.DataFrame,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
    settings: Evaluation,
) -> list[CheckResult]:
    """One result for each measure, and the agreement of metadata relevance.

    Args:
        summary: From `summarise_measures`.
        model: In evaluation mode.
        datamodule: Has the cases.
        split: Of the data.
        settings: Number of cases for metadata agreement.
    """
    measured = set(summary["measure"])
    results = [_result(summary, measure) for measure in MEASURES if measure in measured]
    if model.network.cardinalities and len(model.task.features) > 1:
        sample = _draw(datamodule.cases(split), settings.cases, settings.seed)
        results.append(metadata_agreement(model, datamodule, split, sample))
    return results


def cases_with_masks(
    datamodule: LesionDataModule, cases: pl.DataFrame, settings: Evaluation, split: SplitName
) -> pl.DataFrame | None:
    """The cases that have a lesion mask, see `with_masks`; None where there is no folder of them.

    Masks beside the data that nobody asked for are left alone if cases have several views.

    Args:
        datamodule: Has the cases.
        cases: Rows of the split.
        settings: Say which folder.
        split: Of the data.

    Raises:
        DataError: If two images would have one mask, or masks were asked for and cases have views.
    """
    if settings.masks is None and datamodule.spec.views:
        return None
    folder = masks_folder(datamodule, settings, split)
    return with_masks(cases, folder) if settings.masks or folder.is_dir() else None


def masks_folder(datamodule: LesionDataModule, settings: Evaluation, split: SplitName) -> Path:
    """The folder of lesion masks, which may be absent."""
    if settings.masks is not None:
        return user_path(settings.masks, "evaluation.masks")
    root = datamodule.predict_root if split == "predict" else datamodule.root
    return user_path(str(root), "data.root") / "masks"


def _draw(cases: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    return cases if cases.height <= count else cases.sample(count, seed=seed)


def _with_masks(
    model: LesionClassifier, datamodule: LesionDataModule, split: SplitName, cases: pl.DataFrame
) -> Iterator[tuple[LesionBatch, Tensor]]:
    size, start = datamodule.task.image_size, 0
    for batch in batches_on_device(model, datamodule, split, cases, "localisation"):
        paths = cases["mask"][start : start + len(batch.target)]
        start += len(batch.target)
        yield batch, torch.from_numpy(np.stack([read_mask(path, size) for path in paths]))


def _result(summary: pl.DataFrame, measure: str) -> CheckResult:
    part = summary.filter(pl.col("measure") == measure)
    title, better = MEASURES[measure]
    names = [METHODS[name].title if name in METHODS else name for name in part["method"]]
    values = part.select("value", "low", "high").to_numpy()
    cases, groups = part.select(pl.col("cases", "groups").max()).row(0)
    rows = [
        [name, _interval(row, ""), _interval(row, "difference_")]
        for name, row in zip(names, part.iter_rows(named=True), strict=True)
    ]
    return CheckResult(
        title=title[0].upper() + title[1:],
        text=(
            f"{better[0].upper() + better[1:]} is better. Mean of {cases} cases of {groups} "
            "groups, for the predicted class; intervals are 95 %, resampling groups. Differences "
            "are paired, case by case."
        ),
        figure=intervals_figure(names, values, xlabel=f"{title} ({better} is better)"),
        figure_alt=f"{title}, by method, with intervals",
        columns=["method", "mean [95 %]", "minus TMME [95 %]"],
        rows=rows,
    )


def _interval(row: dict[str, Any], prefix: str) -> Interval | None:
    value = row["difference" if prefix else "value"]
    if value is None or math.isnan(value):
        return None
    return Interval(value, row[prefix + "low"], row[prefix + "high"])
