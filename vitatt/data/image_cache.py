"""Every distinct image of a dataset, decoded once, as one memory-mapped uint8 array.

The cache is keyed by the content of the files and by the settings: a dataset that moves finds its
cache again, a file that changes does not find an old one. A process that dies half-way leaves a
part that the next one continues, and two processes that want the same cache take turns.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from vitatt.data.images import read_image
from vitatt.data.partial_array import PartialArray, make_folder
from vitatt.data.schema import DataError
from vitatt.files import whole_file

_FORMAT = 1
_CHUNK = 256
_UNREADABLE = 2
_UNOPENED = "unopened-"


def default_folder() -> Path:
    """Where caches go unless told otherwise: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitatt"


class ImageCache:
    """Pixels of image files, decoded and resized once.

    Args:
        paths: Image files; two files of the same bytes share one entry.
        size: Side of the square pixels, see `read_image`.
        folder: Where caches are kept.

    Attributes:
        unreadable: Path to reason, for each file that could not be decoded.
        digests: Content digest of each path, for finding one image under two names.
        key: Digest of all content and settings.

    Raises:
        DataError: If no file can be decoded, or the disk has no room.
    """

    def __init__(self, paths: Sequence[str], *, size: int, folder: Path) -> None:
        self.size = size
        make_folder(folder)
        self.digests = _digest_files(paths, folder)
        unopened = [path for path, digest in self.digests.items() if digest.startswith(_UNOPENED)]
        opened = {
            path: digest
            for path, digest in self.digests.items()
            if not digest.startswith(_UNOPENED)
        }
        distinct = sorted(set(opened.values()))
        self.key = _digest(json.dumps([_FORMAT, size, distinct]).encode())
        self._file = folder / f"images-{size}px-{self.key}.u8"
        sources = {digest: path for path, digest in opened.items()}
        entries = [(digest, sources[digest]) for digest in distinct]
        reasons = _build(self._file, entries, size) if entries else {}
        row_of = {digest: row for row, digest in enumerate(distinct)}
        self.unreadable = {path: f"{path} cannot be opened." for path in unopened}
        self.unreadable |= {
            path: path + reasons[digest] for path, digest in opened.items() if digest in reasons
        }
        self._row = {
            path: row_of[digest] for path, digest in opened.items() if digest not in reasons
        }
        self._shape = (len(distinct), size, size, 3)
        self._pixels: NDArray[np.uint8] | None = None
        if not self._row:
            reason = next(iter(self.unreadable.values()))
            raise DataError(
                f"None of the {len(self.unreadable)} image files can be read; the first: {reason}"
            )

    def rows(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """Row of each path in `pixels`; paths must be readable ones."""
        return np.array([self._row[path] for path in paths], dtype=np.int64)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All distinct images, (N, size, size, 3), read-only and mapped on first use."""
        if self._pixels is None:
            self._pixels = np.memmap(self._file, np.uint8, "r", shape=self._shape)
        return self._pixels

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pixels": None}  # a worker maps the file itself


def _build(file: Path, entries: list[tuple[str, str]], size: int) -> dict[str, str]:
    """Decode what is not decoded yet; the reason for each digest that cannot be."""
    summary = file.with_suffix(".json")
    whole = len(entries) * size * size * 3
    if (known := _finished(file, summary, whole)) is not None:
        return known
    with FileLock(file.with_suffix(".lock")):
        if (known := _finished(file, summary, whole)) is not None:  # by another process meanwhile
            return known
        partial = file.with_suffix(".partial")
        array = PartialArray(partial, (len(entries), size, size, 3), np.uint8)
        todo = np.flatnonzero(array.marks == 0)
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
            digest, path = entries[row]
            reasons[digest] = str(_try_read(path, size))
        array.forget_marks()
        with whole_file(summary) as part:
            part.write_text(json.dumps(reasons))
        partial.replace(file)
    return reasons


def _try_read(path: str, size: int) -> NDArray[np.uint8] | str:
    """The pixels, or why there are none: a message without the path it begins with."""
    try:
        return read_image(path, size)
    except DataError as error:
        return str(error).removeprefix(path)


def _finished(file: Path, summary: Path, size: int) -> dict[str, str] | None:
    """Reasons of a cache that is whole; None for an absent or damaged one, to be built again."""
    try:
        if file.stat().st_size != size:
            return None
        return {str(digest): str(why) for digest, why in json.loads(summary.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return None


def _digest_files(paths: Sequence[str], folder: Path) -> dict[str, str]:
    """Content digest of each file; files whose size and time are known are not read again.

    A file that cannot be opened (a broken link, no permission) has a digest of the moment, so that
    it is tried again the next time.
    """
    ledger = folder / "digests.json"
    known = _read_ledger(ledger)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    digests = {
        path: known[path][2]
        for path, stamp in stamps.items()
        if path in known and known[path][:2] == stamp
    }
    if unread := [path for path in stamps if path not in digests]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            digests.update(zip(unread, pool.map(_digest_file, unread), strict=True))
        with FileLock(folder / "digests.lock"):
            known.update(
                {
                    path: (*stamps[path], digests[path])
                    for path in unread
                    if not digests[path].startswith(_UNOPENED)
                }
            )
            with whole_file(ledger) as part:
                part.write_text(json.dumps(known))
    return {path: digests[path] for path in stamps}


def _read_ledger(ledger: Path) -> dict[str, tuple[int, int, str]]:
    """What was written there; nothing if it is damaged, since it only saves time."""
    try:
        entries = json.loads(ledger.read_bytes())
        return {
            path: (int(size), int(time), str(dig)) for path, (size, time, dig) in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of last change; -1 for a file that cannot be opened."""
    try:
        stat = os.stat(path)  # noqa: PTH116 (a Path per file is slow at 10^6 files)
    except OSError:
        return (-1, -1)
    return (stat.st_size, stat.st_mtime_ns)


def _digest_file(path: str) -> str:
    try:
        return _digest(Path(path).read_bytes())
    except OSError:
        return f"{_UNOPENED}{time.time_ns()}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
