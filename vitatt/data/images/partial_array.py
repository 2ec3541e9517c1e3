"""Array on disk that is filled row by row; a process that dies loses no finished row."""

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

    A row is marked only after its content is on disk, so that the next process can continue where
    one died. Callers must hold a lock, since only one process may fill the array at a time.

    Args:
        file: File of the array; the marks are stored beside it.
        shape: Shape of the whole array; the first dimension is the rows.
        dtype: Data type of the array.

    Attributes:
        marks: 0 for each row that is not filled, else the mark that it was given, (rows,) uint8.

    Raises:
        DataError: If the disk is full.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._marks_file = file.with_suffix(".marks")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not file.is_file() or file.stat().st_size != size:
            self._marks_file.unlink(missing_ok=True)  # marks of deleted content
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
        """Mark rows without writing content."""
        self.marks[rows] = mark
        self.marks.flush()  # type: ignore[attr-defined]

    def forget_marks(self) -> None:
        """Remove the marks of a complete array."""
        self._marks_file.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create the folder of a cache, and check that a file can be written in it.

    Raises:
        DataError: If the folder cannot be created, or no file can be written in it.
    """
    problem = "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "written to"
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-"):
            pass  # permission bits say nothing about a read-only mount
    except FileExistsError as error:
        raise DataError(
            f"The cache folder {folder} is a file. Name a folder as `data.cache_dir`."
        ) from error
    except OSError as error:
        raise DataError(
            f"The cache folder {folder} cannot be {problem} ({error.strerror}). Name another one "
            "as `data.cache_dir`."
        ) from error


def _allocate(file: Path, size: int) -> None:
    """Reserve all disk space of a file, so that a full disk is found before the work begins."""
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
