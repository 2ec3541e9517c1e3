"""Cases as batches: pixels or tokens from memory maps, metadata from arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vitatt.data.images.cache import ImageCache
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.metadata.encoding import EncodedMetadata
from vitatt.types import LesionBatch, Pixels, Tokens

Key = tuple[int, int]
"""Row of the dataset and epoch; together with the seed they decide the augmentation."""


class ImageSource(Protocol):
    """Where the image part of a batch comes from."""

    def fetch(self, rows: NDArray[np.int64], seeds: Sequence[int]) -> Pixels | Tokens:
        """The image part of these rows, one seed each for whatever is random."""
        ...


class PixelSource:
    """Pixels from the cache, augmented if training.

    Args:
        cache: Decoded images.
        slots: Where in the cache each row's image is, see `ImageCache.rows`.
        augmentation: What training changes; None for evaluation.
    """

    def __init__(
        self,
        cache: ImageCache,
        slots: NDArray[np.int64],
        augmentation: TrainingAugmentation | None = None,
    ) -> None:
        self._cache = cache
        self._slots = slots
        self._augmentation = augmentation

    def fetch(self, rows: NDArray[np.int64], seeds: Sequence[int]) -> Pixels:
        """Pixels, uint8."""
        pixels = self._cache.pixels[self._slots[rows]]
        if self._augmentation is not None:
            changed = [
                self._augmentation(image, seed) for image, seed in zip(pixels, seeds, strict=True)
            ]
            pixels = np.stack(changed)
        return Pixels(torch.from_numpy(pixels).permute(0, 3, 1, 2))


class LesionDataset(Dataset[LesionBatch]):
    """Cases of one split, fetched a batch at a time.

    Args:
        cases: Rows with ``case_id``.
        source: Where the images come from, row by row as in `cases`.
        metadata: Encoded metadata, row by row as in `cases`.
        target: Class index of each row, -1 where unknown.
        seed: Decides augmentations, together with row and epoch.
    """

    def __init__(
        self,
        cases: pl.DataFrame,
        source: ImageSource,
        metadata: EncodedMetadata,
        target: NDArray[np.int64],
        *,
        seed: int = 0,
    ) -> None:
        # An array of fixed-width text: Python strings would be copied into every worker as they
        # are touched, so that memory grows over the epochs.
        self._case_id = cases["case_id"].to_numpy().astype(np.str_)
        self.source = source
        self._metadata = torch.from_numpy(metadata.soft_one_hot)
        self._missing = torch.from_numpy(metadata.missing)
        self._target = torch.tensor(target)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._case_id)

    def __getitems__(self, keys: Sequence[Key | int]) -> LesionBatch:
        """A batch of cases, by row or by row and epoch."""
        pairs = [key if isinstance(key, tuple) else (key, 0) for key in keys]
        rows = np.array([row for row, _ in pairs], dtype=np.int64)
        # The hash of a tuple of integers is the same in every process.
        seeds = [hash((self._seed, epoch, row)) & 0xFFFFFFFF for row, epoch in pairs]
        index = torch.from_numpy(rows)
        return LesionBatch(
            image=self.source.fetch(rows, seeds),
            metadata=self._metadata[index],
            missing=self._missing[index],
            target=self._target[index],
            case_id=self._case_id[rows].tolist(),
        )

    def __getitem__(self, rows: int | list[int]) -> LesionBatch:
        return self.__getitems__(rows if isinstance(rows, list) else [rows])

    def batches(self, size: int) -> Iterator[LesionBatch]:
        """All cases in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.__getitems__(range(start, min(start + size, len(self))))
