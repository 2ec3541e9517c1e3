"""Dataset of cases in batches: pixels or tokens from memory maps, metadata from arrays."""

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
"""Row of the dataset and epoch, which decide the augmentation together with the seed."""


class ImageSource(Protocol):
    """Source of the images of a batch, as pixels or tokens."""

    def fetch(self, rows: NDArray[np.int64], seeds: Sequence[int]) -> Pixels | Tokens:
        """Return the images of these rows; each row has a seed for its random augmentation."""
        ...


class PixelSource:
    """Pixels from the cache, augmented for training.

    Args:
        cache: Decoded images.
        slots: Index in the cache of each row's image, (N,), or of its views, (N, V), -1 for absent
            ones; see `slots_of`.
        augmentation: Random augmentation for training; None for evaluation.
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
        """Return pixels, (B, 3, H, W) uint8, or (B, 3, V H, W), black for an absent view."""
        slots = self._slots[rows]
        if slots.ndim == 2:
            return self._views(slots, seeds)
        return Pixels(torch.from_numpy(self._pixels(slots, seeds)).permute(0, 3, 1, 2))

    def _views(self, slots: NDArray[np.int64], seeds: Sequence[int]) -> Pixels:
        """Each view has an augmentation of its own, and all lie one below the other."""
        present, size = slots >= 0, self._cache.size
        of_views = [hash((seed, view)) for seed in seeds for view in range(slots.shape[1])]
        of_views = [of_views[n] & 0xFFFFFFFF for n in np.flatnonzero(present)]
        pixels = np.zeros((*slots.shape, size, size, 3), np.uint8)
        pixels[present] = self._pixels(slots[present], of_views)
        stacked = torch.from_numpy(pixels).flatten(1, 2).permute(0, 3, 1, 2)
        return Pixels(stacked, torch.from_numpy(~present))

    def _pixels(self, slots: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.uint8]:
        pixels = self._cache.pixels[slots]
        if self._augmentation is None:
            return pixels
        changed = [
            self._augmentation(image, seed) for image, seed in zip(pixels, seeds, strict=True)
        ]
        return np.stack(changed)


class LesionDataset(Dataset[LesionBatch]):
    """Cases of one split, fetched in batches.

    Args:
        cases: Rows with ``case_id``.
        source: Source of the images, in the row order of `cases`.
        metadata: Encoded metadata, in the row order of `cases`.
        target: Class index of each row, -1 where unknown.
        seed: Seed that decides the augmentation, together with row and epoch.
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
        # An array of fixed-width text, since every access to a Python string writes to its
        # reference count: workers would copy the memory page by page, more with every epoch.
        self._case_id = cases["case_id"].to_numpy().astype(np.str_)
        self.source = source
        self._metadata = torch.from_numpy(metadata.soft_one_hot)
        self._missing = torch.from_numpy(metadata.missing)
        self._target = torch.tensor(target)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._case_id)

    def __getitems__(self, keys: Sequence[Key | int]) -> LesionBatch:
        """Return a batch of cases, each given by its row, or by row and epoch."""
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
        """Yield all cases in order, in batches of at most `size`."""
        for start in range(0, len(self), size):
            yield self.__getitems__(range(start, min(start + size, len(self))))
