"""Several checkpoints on the same cases, with shared images and shared frozen encoders."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor
from tqdm import tqdm

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.data.images.corruptions import corrupt
from vitatt.data.metadata.encoding import encode
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.sharing import same_tokens
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import (
    LesionBatch,
    LesionTask,
    Pixels,
    Tokens,
    UsageError,
    class_index,
    split_views,
    stack_views,
)

_BATCH = 16

_COMPARED = {
    "dataset": "dataset",
    "classes": "classes",
    "views": "views",
    "image_size": "image size",
    "fold_spec": "split",
    "seen": "seen",
}
"""Attributes of a task that the models of a comparison share, and their titles."""


class NamedModel(NamedTuple):
    """A model in a comparison.

    Attributes:
        name: In tables and images.
        model: In evaluation mode.
    """

    name: str
    model: LesionClassifier

    @property
    def network(self) -> LesionNetwork:
        """From a batch to logits."""
        return self.model.network

    def batch(self, cases: pl.DataFrame, image: Pixels | Tokens) -> LesionBatch:
        """All cases in one batch, their metadata encoded as this model knows them.

        Args:
            cases: Labelled rows.
            image: Of all cases, on the model's device.
        """
        task = self.model.task
        metadata, missing = encode(cases, task.features, smoothing=task.smoothing)
        index = class_index(task.classes)
        target = cases["diagnosis"].replace_strict(index, return_dtype=pl.Int64)
        return LesionBatch(
            image,
            torch.from_numpy(metadata).to(image.values.device),
            torch.from_numpy(missing).to(image.values.device),
            torch.tensor(target.to_numpy(), device=image.values.device),
            cases["case_id"].to_list(),
        )


def check_comparable(paths: Sequence[tuple[str, str]], task: LesionTask) -> None:
    """See that checkpoints are of the same data, before any of their models is made.

    Args:
        paths: Name and file of each.
        task: That of the first.

    Raises:
        UsageError: If a checkpoint is of other data, another split or image size, so that its
            metrics could not be compared.
    """
    for name, path in paths:
        of_path = LesionTask.from_plain(read_hyper_parameters(path)["task"])
        for what, title in _COMPARED.items():
            expected, found = getattr(task, what), getattr(of_path, what)
            if found != expected:
                if what == "views":
                    expected, found = (", ".join(one) or "none" for one in (expected, found))
                other = "other" if title.endswith("s") else "another"
                raise UsageError(
                    f"The checkpoints cannot be compared: `{name}` ({path}) was trained with "
                    f"{other} {title} ({found}) than the first ({expected}). "
                    "Compare models of the same data, split, views and image size."
                )


class Images:
    """Images of cases as each network takes them.

    An encoder that sees nothing but the image runs once for all the metadata that its image is
    shown with, and once for all networks that share its weights, as on a frozen encoder they do.

    Args:
        datamodule: Has the images.
    """

    def __init__(self, datamodule: LesionDataModule) -> None:
        self._datamodule = datamodule
        self._last: dict[
            SplitName, tuple[tuple[str, int] | None, ImageEncoder | None, Pixels | Tokens]
        ] = {}

    def of(
        self,
        named: NamedModel,
        split: SplitName,
        cases: pl.DataFrame,
        corruption: tuple[str, int] | None = None,
    ) -> Pixels | Tokens:
        """Tokens of N cases, or pixels if metadata joins inside the encoder.

        Args:
            named: Whose network it is; one that sees no image gets empty tokens, (N, 0, 0).
            split: Of the data.
            cases: Rows of that split; the same ones in every call.
            corruption: Name and strength, if the images are to be corrupted.
        """
        network, device = named.network, named.model.device
        if network.encoder is None:
            return Tokens(torch.zeros(cases.height, 0, 0, device=device))
        encoder = network.encoder if network.encodes_alone else None
        known, of_encoder, image = self._last.get(split, (("", 0), None, Tokens(torch.empty(0))))
        same = encoder is of_encoder or (
            encoder is not None and of_encoder is not None and same_tokens(encoder, of_encoder)
        )
        if known == corruption and same:
            return image
        image = self._make(encoder, split, cases, corruption, device)
        self._last[split] = (corruption, encoder, image)
        return image

    def _make(
        self,
        encoder: ImageEncoder | None,
        split: SplitName,
        cases: pl.DataFrame,
        corruption: tuple[str, int] | None,
        device: torch.device,
    ) -> Pixels | Tokens:
        what = f"images of {split}" if corruption is None else f"{corruption[0]} {corruption[1]}"
        made: list[Tensor] = []
        absent: list[Tensor] = []
        with tqdm(total=cases.height, desc=what, unit="image", leave=False) as bar:
            for batch in self._datamodule.make_dataset(split, cases).batches(_BATCH):
                if corruption is not None:
                    batch = batch.with_pixels(self._corrupted(batch, *corruption))
                image = batch.to(device).image
                with torch.inference_mode():
                    made.append((image if encoder is None else encoder.encoded(image)).values)
                absent += [] if image.absent is None else [image.absent]
                bar.update(len(batch.target))
        values, lacking = torch.cat(made), torch.cat(absent) if absent else None
        return Pixels(values, lacking) if encoder is None else Tokens(values, lacking)

    def _corrupted(self, batch: LesionBatch, corruption: str, strength: int) -> Tensor:
        """Corrupted pixels; a case's seed is its name's, whatever other cases there are."""
        views = self._datamodule.task.num_views
        images = split_views(batch.pixels, views).permute(0, 2, 3, 1).numpy()
        seeds = [zlib.crc32(name.encode()) for name in batch.case_id for _ in range(views)]
        changed = [
            corrupt(image, corruption, strength, seed=seed)
            for image, seed in zip(images, seeds, strict=True)
        ]
        return stack_views(torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2), views)
