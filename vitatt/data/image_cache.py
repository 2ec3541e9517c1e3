"""Every distinct image of a dataset, decoded once, as one memory-mapped uint8 array.

The cache is keyed by the content of the files and by the settings: a dataset that moves finds its
cache again, a file that changes does not find an old one. A process that dies half-way leaves a
part that the next one continues, and two processes that want the same cache take turns.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from vitatt.data.images import read_image
from vitatt.data.schema import DataError

_FORMAT = 1
_CHUNK = 256


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
        folder.mkdir(parents=True, exist_ok=True)
        self.digests = _digest_files(paths, folder)
        distinct = sorted(set(self.digests.values()))
        self.key = _digest(json.dumps([_FORMAT, size, distinct]).encode())
        self._file = folder / f"images-{size}px-{self.key}.u8"
        sources = {digest: path for path, digest in self.digests.items()}
        reasons = _build(self._file, [(digest, sources[digest]) for digest in distinct], size)
        row_of = {digest: row for row, digest in enumerate(distinct)}
        self.unreadable = {
            path: reasons[digest] for path, digest in self.digests.items() if digest in reasons
        }
        self._row = {
            path: row_of[digest] for path, digest in self.digests.items() if digest not in reasons
        }
        self._shape = (len(distinct), size, size, 3)
        self._pixels: NDArray[np.uint8] | None = None
        if not self._row:
            first, reason = next(iter(self.unreadable.items()))
            raise DataError(
                f"None of the {len(self.unreadable)} image files can be read; the first, "
                f"{first}: {reason}"
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
    if file.is_file() and summary.is_file():
        return _read_reasons(summary)
    with FileLock(file.with_suffix(".lock")):
        if file.is_file() and summary.is_file():  # another process finished it meanwhile
            return _read_reasons(summary)
        partial, journal = file.with_suffix(".partial"), file.with_suffix(".journal")
        row_bytes = size * size * 3
        allocate(partial, len(entries) * row_bytes)
        reasons: dict[str, str] = {}
        finished = 0
        if journal.is_file():
            # A line is written after its chunk is on disk; a torn last line is not counted.
            for line in journal.read_text().split("\n")[:-1]:
                finished, found = json.loads(line)
                reasons.update(found)
        pixels = np.memmap(partial, np.uint8, "r+", shape=(len(entries), size, size, 3))
        workers = os.cpu_count() or 1
        with (
            ThreadPoolExecutor(workers) as pool,
            journal.open("a") as log,
            tqdm(
                total=len(entries),
                initial=finished,
                desc=f"Decoding images to {size} px (once)",
                unit="image",
                disable=len(entries) - finished < _CHUNK,
            ) as progress,
        ):
            for start in range(finished, len(entries), _CHUNK):
                chunk = entries[start : start + _CHUNK]
                found = {}
                decoded = pool.map(lambda entry: _try_read(entry[1], size), chunk)
                for row, ((digest, _), image) in enumerate(zip(chunk, decoded, strict=True)):
                    if isinstance(image, str):
                        found[digest] = image
                    else:
                        pixels[start + row] = image
                pixels.flush()
                reasons.update(found)
                log.write(json.dumps([start + len(chunk), found]) + "\n")
                log.flush()
                progress.update(len(chunk))
        del pixels
        _write_atomically(summary, json.dumps(reasons))
        partial.replace(file)
        journal.unlink(missing_ok=True)
    return reasons


def _try_read(path: str, size: int) -> NDArray[np.uint8] | str:
    try:
        return read_image(path, size)
    except DataError as error:
        return str(error)


def _read_reasons(summary: Path) -> dict[str, str]:
    reasons: dict[str, str] = json.loads(summary.read_text())
    return reasons


def allocate(file: Path, size: int) -> None:
    """Reserve disk space at once, so that a full disk is found before the work is done.

    Raises:
        DataError: If there is no room.
    """
    try:
        with file.open("ab") as handle:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
            else:  # macOS and Windows
                handle.truncate(size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(file.parent).free
        file.unlink(missing_ok=True)
        raise DataError(
            f"The cache needs {size / 1e6:.0f} MB in {file.parent}, but {free / 1e6:.0f} MB "
            "are free. Make room, or name another folder as `data.cache_dir`."
        ) from error


def _digest_files(paths: Sequence[str], folder: Path) -> dict[str, str]:
    """Content digest of each file; files whose size and time are known are not read again."""
    ledger = folder / "digests.json"
    known: dict[str, list[object]] = {}
    if ledger.is_file():
        try:
            known = json.loads(ledger.read_text())
        except json.JSONDecodeError:
            known = {}  # the ledger only saves time: what it held is computed again
    stamps: dict[str, list[object]] = {}
    for path in dict.fromkeys(paths):
        stat = os.stat(path)  # noqa: PTH116 (a Path per file is slow at 10^6 files)
        stamps[path] = [stat.st_size, stat.st_mtime_ns]
    digests = {
        path: str(known[path][2])
        for path, stamp in stamps.items()
        if path in known and known[path][:2] == stamp
    }
    if unread := [path for path in stamps if path not in digests]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            digests.update(zip(unread, pool.map(_digest_file, unread), strict=True))
        with FileLock(folder / "digests.lock"):
            known.update({path: [*stamps[path], digests[path]] for path in unread})
            _write_atomically(ledger, json.dumps(known))
    return {path: digests[path] for path in stamps}


def _digest_file(path: str) -> str:
    return _digest(Path(path).read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _write_atomically(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(file)
