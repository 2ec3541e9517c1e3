"""Images in zip archives and HDF5 files, named by a path that leads on into the file.

Such as ``train-image.hdf5/ISIC_0015670``: the archive, and the name in it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vitatt.types import DataError

ARCHIVE_ENDINGS = (".zip", ".hdf5", ".h5")
"""Endings of archives of images, in lower case."""

_INSIDE = re.compile(r"\.(?:zip|hdf5|h5)/", re.IGNORECASE)


class _Archive(NamedTuple):
    """An open archive.

    Attributes:
        names: Of its entries, in the order of the file.
        read: Returns the content of an entry by name; called by one thread at a time.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]


def container(path: str) -> str:
    """Return the file that holds an image: the archive it is in, or else the path itself."""
    inside = _split(path)
    return inside[0] if inside else path


def content(path: str) -> bytes:
    """Return the bytes of an image file, or of an image in an archive.

    Raises:
        OSError: If it cannot be read, or is not in the archive.
        DataError: If it is in an archive that is damaged, or needs a package.
    """
    inside = _split(path)
    if inside is None:
        return Path(path).read_bytes()
    archive, name = inside
    stamp = os.stat(archive).st_mtime_ns  # noqa: PTH116 (slow for many paths)
    opened = _open(archive, stamp, os.getpid())
    try:
        with _LOCK:  # libraries of both formats read by one thread at a time
            return opened.read(name)
    except KeyError as error:
        raise FileNotFoundError(2, "No such image in the archive", path) from error
    except _UNREADABLE as error:
        raise OSError(5, f"The archive is damaged or encrypted ({error})", path) from error


def paths_in(archive: str) -> list[str]:
    """Return the path of each entry of an archive.

    Args:
        archive: A zip archive; or an HDF5 file with a data set for each image, which holds the
            bytes of an image file.

    Raises:
        DataError: If it cannot be read, or needs a package.
    """
    stamp = os.stat(archive).st_mtime_ns  # noqa: PTH116
    return [f"{archive}/{name}" for name in _open(archive, stamp, os.getpid()).names]


def _split(path: str) -> tuple[str, str] | None:
    """The archive and the name in it; None for a file of its own."""
    for ending in _INSIDE.finditer(path):
        archive = path[: ending.end() - 1]
        if os.path.isfile(archive):  # noqa: PTH113 (a Path per image is slow at 10^6)
            return archive, path[ending.end() :]
    return None


_LOCK = threading.RLock()
_ADVICE = "Fetch it anew, or move it away if it has no images."
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError),
    *(RuntimeError, NotImplementedError),  # encrypted, compressed in another way
)


@functools.lru_cache(maxsize=16)
def _open(archive: str, stamp: int, process: int) -> _Archive:
    """Open an archive, anew if its time has changed.

    A forked process opens it for itself too: its place in the file would be that of its parent.
    """
    del stamp, process
    with _LOCK:
        opened = _open_zip if archive.lower().endswith(".zip") else _open_hdf5
        return opened(archive)


def _open_zip(path: str) -> _Archive:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a zip archive: {error}. {_ADVICE}") from error
    files: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename and not info.is_dir():
            other = files.setdefault(info.filename, info)
            if (other.CRC, other.file_size) != (info.CRC, info.file_size):
                raise DataError(f"{path} holds two different files called {info.filename}.")
    return _Archive(tuple(files), archive.read)


def _open_hdf5(path: str) -> _Archive:
    if importlib.util.find_spec("h5py") is None:
        raise DataError(
            f"Reading the images in {path} needs a package: pip install 'vitatt[hdf5]'. Or unpack "
            "them as files."
        )
    import h5py
    import numpy as np

    try:
        file = h5py.File(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read as an HDF5 file: {error}. {_ADVICE}") from error

    def read(name: str) -> bytes:
        entry = file[name]
        if not isinstance(entry, h5py.Dataset):
            raise OSError(22, "It is a group, not the bytes of an image file")
        value = np.asarray(entry[()])
        if value.ndim > 1 or not (value.dtype == np.uint8 or value.dtype.kind in "SV"):
            found = f"{value.dtype} of shape {value.shape}"
            raise OSError(22, f"It is {found}, not the bytes of an image file")
        return value.tobytes()

    return _Archive(tuple(file), read)
