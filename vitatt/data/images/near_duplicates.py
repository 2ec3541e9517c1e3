"""Images that are nearly the same: one photograph in two files of different bytes.

Copies that were saved again, scaled, brightened or cropped by a few per cent are found in two
stages: pairs of close perceptual hashes (`perceptual_hash`), then the correlation of their details
after registration (`registration`). Both see images of 64 x 64 pixels, decoded for this purpose, so
that the result does not depend on the size of the images that a network gets. Copies that are
mirrored or turned are not found.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from vitatt.data.images.cache import ImageCache, content_key
from vitatt.data.images.digests import digest
from vitatt.data.images.perceptual_hash import FLAT, MOST_BITS, SIDE, close_pairs, grey, hash_images
from vitatt.data.images.registration import SIMILAR, similarity
from vitatt.files import whole_file

THRESHOLD = (
    f"at most {MOST_BITS} of 256 bits of the perceptual hash differ, and details correlate by at "
    f"least {SIMILAR} after registration"
)
"""What nearly the same means, for messages."""

_FORMAT = 1
_CHUNK = 1024


class NearDuplicates(NamedTuple):
    """Images that are nearly the same.

    Attributes:
        pairs: Columns ``one`` and ``other``, content digests of the images of a pair, and
            ``similarity``, `SIMILAR` to 1.
        flat: Digests of images with too little contrast to be compared.
    """

    pairs: pl.DataFrame
    flat: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> NearDuplicates:
        """No images."""
        schema = {"one": pl.String, "other": pl.String, "similarity": pl.Float64}
        return cls(pl.DataFrame(schema=schema))


def find_near_duplicates(cache: ImageCache, folder: Path) -> NearDuplicates:
    """Return the images of a cache that are nearly the same.

    They are decoded and compared once; the pairs are stored beside the caches.

    Args:
        cache: Images of any size.
        folder: Folder of caches.

    Raises:
        DataError: If no image can be decoded, or the disk is full.
    """
    settings = json.dumps([_FORMAT, MOST_BITS, FLAT, SIMILAR, content_key(cache.names, SIDE)])
    file = folder / f"near-{digest(settings.encode())}.npz"
    found = _known(file, len(cache.names))
    if found is None:
        with FileLock(file.with_suffix(".lock")):
            found = _known(file, len(cache.names))
            if found is None:  # no other process stored it meanwhile
                found = _compare(_small(cache, folder))
                one, other, similar, flat = found
                # The file only saves time.
                with contextlib.suppress(OSError), whole_file(file) as part:
                    np.savez(part, one=one, other=other, similarity=similar, flat=flat)
    names = pl.Series(cache.names, dtype=pl.String)
    pairs = pl.DataFrame(
        {
            "one": names.gather(found.one),
            "other": names.gather(found.other),
            "similarity": found.similarity,
        }
    )
    return NearDuplicates(pairs, tuple(names.gather(found.flat)))


class StoredPairs(NamedTuple):
    """Pairs of rows of the small images, as they are stored.

    Attributes:
        one: First row of each pair, (P,).
        other: Second row of each pair, (P,).
        similarity: Similarity of each pair, (P,).
        flat: Rows with too little contrast, (F,).
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    similarity: NDArray[np.float64]
    flat: NDArray[np.int64]

    def fit(self, count: int) -> bool:
        """Whether these can be pairs of some number of images."""
        rows = np.concatenate([self.one, self.other, self.flat])
        return bool(((rows >= 0) & (rows < count)).all())


def read_pairs(file: Path) -> StoredPairs | None:
    """Return the content of a file of pairs; None if it is damaged.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with file.open("rb") as opened, np.load(opened) as content:
            found = StoredPairs(*(content[name] for name in StoredPairs._fields))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = [found.one.dtype, found.other.dtype, found.flat.dtype] == [np.int64] * 3
    equal = found.one.shape == found.other.shape == found.similarity.shape
    return found if whole and equal and found.one.ndim == found.flat.ndim == 1 else None


def _known(file: Path, count: int) -> StoredPairs | None:
    try:
        found = read_pairs(file)
    except OSError:
        return None
    return found if found is not None and found.fit(count) else None


def _small(cache: ImageCache, folder: Path) -> ImageCache:
    if cache.size == SIDE:
        return cache
    return ImageCache(list(cache.digests), size=SIDE, folder=folder, digests=cache.digests)


def _compare(small: ImageCache) -> StoredPairs:
    hashes = hash_images(small.pixels)
    pairs = close_pairs(hashes)
    similar = _similarities(small.pixels, pairs)
    kept = similar >= SIMILAR
    readable = [path for path in small.digests if path not in small.unreadable]
    rows = np.unique(small.rows(readable))
    one, other = pairs[kept].T
    return StoredPairs(one, other, similar[kept], rows[hashes.contrast[rows] < FLAT])


def _similarities(pixels: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    found = np.empty(len(pairs))
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        tqdm(
            total=len(pairs),
            desc="Comparing images that look alike (once)",
            unit="pair",
            disable=len(pairs) < _CHUNK,
        ) as progress,
    ):
        for start in range(0, len(pairs), _CHUNK):
            part = pairs[start : start + _CHUNK]
            images = grey(pixels[part])
            found[start : start + _CHUNK] = list(pool.map(lambda pair: similarity(*pair), images))
            progress.update(len(part))
    return found
