"""Cache of decoded images: each distinct image once, in one memory-mapped uint8 array.

The name of a cache is a digest of the content of all files and the settings: a dataset that was
moved finds its cache again, and one with a changed file does not use the old one. A process that
dies leaves a partial cache, which the next one completes. Two processes that need the same cache
take turns.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from vitatt.data.images.digests import UNOPENED, digest, digest_files
from vitatt.data.images.partial_array import PartialArray
from vitatt.data.images.reading import read_image
from vitatt.files import whole_file
from vitatt.types import DataError

_FORMAT = 1
_CHUNK = 256
_UNREADABLE = 2


def default_folder() -> Path:
    """Return the default folder of caches, which is in the user's cache folder.

    Raises:
        DataError: If the user has no home folder.
    """
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "vitatt"
    try:
        return Path.home() / ".cache" / "vitatt"
    except RuntimeError as error:  # no HOME, and a user id without a name, as in a container
        raise DataError(
            "There is no home folder to keep decoded images in. Name a folder as `data.cache_dir`."
        ) from error


class ImageCache:
    """Pixels of image files, decoded and resized once.

    Args:
        paths: Image files; two files of the same bytes share one entry.
        size: Side of the square pixels, see `read_image`.
        folder: Where caches are kept.
        digests: Content digest of each path, if they are known already.

    Attributes:
        unreadable: Reason for each path that could not be decoded.
        digests: Content digest of each path; equal for one image under two names.
        names: Content digest of each row of `pixels`.
        key: Digest of the content of all files and the settings.

    Raises:
        DataError: If no file can be decoded, or the disk is full.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        size: int,
        folder: Path,
        digests: dict[str, str] | None = None,
    ) -> None:
        self.size = size
        self.digests = digest_files(paths, folder) if digests is None else digests
        unopened = [path for path, name in self.digests.items() if name.startswith(UNOPENED)]
        opened = {
            path: name for path, name in self.digests.items() if not name.startswith(UNOPENED)
        }
        self.names = distinct = sorted(set(opened.values()))
        self.key = content_key(distinct, size)
        self._file = folder / f"images-{size}px-{self.key}.u8"
        sources = {name: path for path, name in opened.items()}
        entries = [(name, sources[name]) for name in distinct]
        reasons = _build(self._file, entries, size) if entries else {}
        row_of = {name: row for row, name in enumerate(distinct)}
        self.unreadable = {path: f"{path} cannot be opened." for path in unopened}
        self.unreadable |= {
            path: path + reasons[name] for path, name in opened.items() if name in reasons
        }
        self._row = {path: row_of[name] for path, name in opened.items() if name not in reasons}
        self._shape = (len(distinct), size, size, 3)
        self._pixels: NDArray[np.uint8] | None = None
        if not self._row:
            reason = next(iter(self.unreadable.values()))
            raise DataError(
                f"None of the {len(self.unreadable)} image files can be read; the first: {reason}"
            )

    def rows(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """Return the row in `pixels` of each path; all paths must be readable."""
        return np.array([self._row[path] for path in paths], dtype=np.int64)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All distinct images, (N, size, size, 3), read-only and mapped on first use."""
        if self._pixels is None:
            self._pixels = np.memmap(self._file, np.uint8, "r", shape=self._shape)
        return self._pixels

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # each worker maps the file anew


def content_key(names: list[str], size: int) -> str:
    """Return the digest of images at some size, by the digests of their files in order."""
    return digest(json.dumps([_FORMAT, size, names]).encode())


def _build(file: Path, entries: list[tuple[str, str]], size: int) -> dict[str, str]:
    """Decode the images that are not decoded yet; return the reason for each that cannot be."""
    summary = file.with_suffix(".json")
    if (known := _finished(file, summary, entries, size)) is not None:
        return known
    with FileLock(file.with_suffix(".lock")):
        known = _finished(file, summary, entries, size)
        if known is not None:  # another process built it meanwhile
            return known
        partial = file.with_suffix(".partial")
        array = PartialArray(partial, (len(entries), size, size, 3), np.uint8)
        # In the order of the paths, which lie on the disk more or less like that.
        todo = np.array(
            sorted(np.flatnonzero(array.marks == 0), key=lambda row: entries[row][1]), np.int64
        )
        with (
            ThreadPoolExecutor(os.cpu_count() or 1) as pool,
            tqdm(
                total=len(entries),
                initial=len(entries) - len(todo),
                desc=f"Decoding images to {size} px (once)",
                unit="image",
                disable=len(todo) < _CHUNK,
            ) as progress,
        ):
            for start in range(0, len(todo), _CHUNK):
                rows = todo[start : start + _CHUNK]
                decoded = list(pool.map(lambda row: _try_read(entries[row][1], size), rows))
                readable = np.array([not isinstance(image, str) for image in decoded])
                pixels = [image for image in decoded if not isinstance(image, str)]
                array.mark(rows[~readable], _UNREADABLE)
                if pixels:
                    array.put(rows[readable], np.stack(pixels))
                progress.update(len(rows))
        reasons = {}
        for row in np.flatnonzero(array.marks == _UNREADABLE):
            name, path = entries[row]
            reasons[name] = str(_try_read(path, size))
        array.forget_marks()
        with whole_file(summary) as part:
            part.write_text(json.dumps(reasons))
        partial.replace(file)
    return reasons


def _try_read(path: str, size: int) -> NDArray[np.uint8] | str:
    """Return the pixels, or the reason for their absence, without the path at its beginning."""
    try:
        return read_image(path, size)
    except DataError as error:
        return str(error).removeprefix(path)


def _finished(
    file: Path, summary: Path, entries: list[tuple[str, str]], size: int
) -> dict[str, str] | None:
    """Return the reasons stored with a complete cache; None for an absent or damaged one."""
    try:
        if file.stat().st_size != len(entries) * size * size * 3:
            return None
        reasons = json.loads(summary.read_text())
    except (OSError, ValueError):  # ValueError: neither text nor JSON
        return None
    if not isinstance(reasons, dict) or not reasons.keys() <= {name for name, _ in entries}:
        return None  # a summary of other images belongs to another build
    return {name: str(reason) for name, reason in reasons.items()}
