"""An array on disk that is filled bit by bit, by processes that may die."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vitatt.types import DataError


class PartialArray:
    """A memory-mapped array with a mark for each row that is filled.

    A row counts as filled only after its content is on disk, so a process that dies leaves what it
    finished to the next. Callers hold a lock: one process fills at a time.

    Args:
        file: Where the array is; the marks are beside it.
        shape: Of the whole array; the first dimension is the rows.
        dtype: Of the array.

    Attributes:
        marks: 0 for each row that is not filled, else what `put` was given, (rows,) uint8.

    Raises:
        DataError: If the disk has no room.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._marks_file = file.with_suffix(".marks")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not file.is_file() or file.stat().st_size != size:
            self._marks_file.unlink(missing_ok=True)  # marks of content that is gone
        _allocate(file, size)
        _allocate(self._marks_file, shape[0])
        self._content: NDArray[np.generic] = np.memmap(file, dtype, "r+", shape=shape)
        self.marks: NDArray[np.uint8] = np.memmap(self._marks_file, np.uint8, "r+", shape=shape[:1])

    def put(self, rows: NDArray[np.int64], content: NDArray[np.generic], mark: int = 1) -> None:
        """Write rows to disk, then mark them."""
        self._content[rows] = content
        self._content.flush()  # type: ignore[attr-defined]
        self.mark(rows, mark)

    def mark(self, rows: NDArray[np.int64], mark: int) -> None:
        """Mark rows without content."""
        self.marks[rows] = mark
        self.marks.flush()  # type: ignore[attr-defined]

    def forget_marks(self) -> None:
        """Remove the marks: the array is whole."""
        self._marks_file.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make the folder of a cache, and write a file of no length to it to see that this works.

    Raises:
        DataError: If it does not.
    """
    problem = "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "written to"
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-"):
            pass  # permissions alone do not tell: a disk may be mounted for reading only
    except FileExistsError as error:
        raise DataError(
            f"The cache folder {folder} is a file. Name a folder as `data.cache_dir`."
        ) from error
    except OSError as error:
        raise DataError(
            f"The cache folder {folder} cannot be {problem} ({error.strerror}). Name one that can "
            "as `data.cache_dir`."
        ) from error


def _allocate(file: Path, size: int) -> None:
    """Reserve disk space at once, so that a full disk is found before the work is done."""
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
            f"The cache needs {size / 1e6:.0f} MB in {file.parent}, but {free / 1e6:.0f} MB are "
            "free. Make room, or name another folder as `data.cache_dir`."
        ) from error
