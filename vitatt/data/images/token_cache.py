"""Cache of encoder tokens, computed once for each image and version, and stored as float16.

A frozen encoder computes the same tokens in every epoch, fold and arm. The cache holds them for the
plain version and a number of augmented ones of each image, so that training runs at memory speed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vitatt.data.images.partial_array import PartialArray, make_folder

Encode = Callable[[Tensor], Tensor]
"""From pixels (B, 3, H, W) uint8 to tokens (B, N, D)."""
Pixels = Callable[[NDArray[np.int64], int], Tensor]
"""From slots of images (B,) and a version, 0 for the plain one, to pixels (B, 3, H, W) uint8."""

_BATCH = 32


class TokenCache:
    """Tokens of all images and versions, (slots, versions, N, D) float16 on disk.

    There is one file per version, filled as images are needed. The next process can continue where
    one died.

    Args:
        folder: Folder of caches.
        key: Everything that decides the tokens: weights, images, size, augmentation.
        num_slots: Number of distinct images.
        num_versions: Number of versions of each image, including the plain one.
        token_shape: (N, D).
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: str,
        num_slots: int,
        num_versions: int,
        token_shape: tuple[int, int],
    ) -> None:
        make_folder(folder)
        digest = hashlib.blake2b(repr((key, token_shape)).encode(), digest_size=16).hexdigest()
        # The number of versions is not part of the key, so that more versions use the same files.
        self._files = [
            folder / f"tokens-{digest}-version{version}.f16" for version in range(num_versions)
        ]
        self._shape = (num_slots, *token_shape)
        self._mapped: dict[int, NDArray[np.float16]] = {}

    def fill(self, slots: NDArray[np.int64], version: int, pixels: Pixels, encode: Encode) -> None:
        """Compute the tokens of these images in this version, unless they are stored already.

        Raises:
            DataError: If the disk is full.
        """
        file = self._files[version]
        with FileLock(file.with_suffix(".lock")):
            array = PartialArray(file, self._shape, np.float16)
            todo = np.unique(slots[array.marks[slots] == 0])
            progress = tqdm(
                total=len(todo),
                desc=f"Encoding images, version {version} (once)",
                unit="image",
                disable=not len(todo),
            )
            for start in range(0, len(todo), _BATCH):
                batch = todo[start : start + _BATCH]
                array.put(batch, encode(pixels(batch, version)).half().cpu().numpy())
                progress.update(len(batch))
            progress.close()

    def fetch(self, slots: NDArray[np.int64], versions: Sequence[int]) -> Tensor:
        """Return the tokens (B, N, D) float16 of images, each in its version."""
        result = np.empty((len(slots), *self._shape[1:]), np.float16)
        chosen = np.asarray(versions)
        for version in np.unique(chosen):
            member = chosen == version
            result[member] = self._tokens(int(version))[slots[member]]
        return torch.from_numpy(result)

    def _tokens(self, version: int) -> NDArray[np.float16]:
        if version not in self._mapped:
            self._mapped[version] = np.memmap(
                self._files[version], np.float16, "r", shape=self._shape
            )
        return self._mapped[version]
