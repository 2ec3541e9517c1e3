"""Write result files whole or not at all, and check output folders before the work begins."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from vitatt.types import UsageError


@contextmanager
def whole_file(path: Path, *, settle: bool = True) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` when the block ends without an error.

    The parent folder is created. If the process or the machine stops, `path` keeps its previous
    content; if the block raises, the temporary file is removed as well. Two processes that write
    the same file do not interfere: the one that ends last wins.

    Args:
        path: The file to write.
        settle: Whether to wait until the content is on disk. Otherwise a machine that crashes may
            leave an empty file, which is acceptable only for files that are quick to make again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Some writers choose the format by the suffix, so it is kept. The random part separates
    # processes of the same number on two machines that share the folder.
    name = f".{path.stem[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}"
    temporary = path.with_name(name)
    try:
        yield temporary
        if settle:
            _settle(temporary)
        temporary.replace(path)
        if settle:
            with contextlib.suppress(OSError):  # not every system can open a folder
                _settle(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Wait until a file's content, or a folder's list of entries, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(text: str, path: Path) -> None:
    """Write a text as UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all: as Parquet if the path ends so, otherwise as CSV."""
    with whole_file(path) as part:
        if path.suffix == ".parquet":
            frame.write_parquet(part)
        else:
            frame.write_csv(part)


def write_image(pixels: NDArray[np.uint8], path: Path, **settings: Any) -> None:
    """Write pixels as an image file in the format of the path's suffix, whole or not at all.

    Args:
        pixels: RGB, (H, W, 3).
        path: The file to write.
        settings: Options of Pillow's writer, such as ``quality``.
    """
    # Each validation writes dozens, which are quick to draw again: not worth waiting for the disk.
    with whole_file(path, settle=False) as part:
        Image.fromarray(pixels).save(part, **settings)


def check_folder(folder: Path, what: str) -> None:
    """Create a folder with its parents, and check that files can be written in it.

    Args:
        folder: The folder.
        what: The option that names it, such as ``--output``, for the message.

    Raises:
        UsageError: If it cannot be created, or no file can be written in it.
    """
    problem = "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "written"
        # Permission bits say nothing about a read-only mount, nor to an administrator.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The folder {folder}, which {what} names, cannot be {problem} ({reason}). Name "
            "another one."
        ) from error


def require_empty(folder: Path, what: str = "--output") -> None:
    """Check that a folder is empty or does not exist; it is not created.

    Args:
        folder: The folder.
        what: The option that names it, for the message.

    Raises:
        UsageError: If it holds anything, or cannot be listed.
    """
    try:
        found = sorted(os.listdir(folder)) if _is_folder(folder) else []  # noqa: PTH208
    except OSError as error:
        raise UsageError(
            f"The folder {folder}, which {what} names, cannot be read ({error.strerror}). Name "
            "another one."
        ) from error
    if found:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise UsageError(
            f"Expected {what} to be a new or empty folder, but {folder} holds {len(found)} "
            f"entr{'ies' if len(found) > 1 else 'y'} ({some}): results of two runs would mix. Name "
            "another one, or remove it."
        )


def _is_folder(path: Path) -> bool:
    # `Path.is_dir` would raise if permissions are lacking; `check_folder` reports that.
    return os.path.isdir(path)  # noqa: PTH112


def claim_folder(folder: Path, what: str = "--output") -> None:
    """Create the folder for the results of one run, which must be empty if it exists.

    Args:
        folder: The folder.
        what: The option that names it, for the message.

    Raises:
        UsageError: If it holds anything, or no file can be written in it.
    """
    require_empty(folder, what)
    check_folder(folder, what)


def check_writable(path: Path, what: str = "--output", *, again: bool = False) -> None:
    """Check that a result file can be written, and that it does not exist yet.

    Args:
        path: The file; its folder is created.
        what: The option that names it, for the message.
        again: Whether the file may exist and be overwritten.

    Raises:
        UsageError: If the file is a folder, exists although it must not, or cannot be written.
    """
    if _is_folder(path):
        raise UsageError(f"Expected {what} to be a file, but {path} is a folder.")
    if os.path.lexists(path) and not again:
        raise UsageError(
            f"Expected {what} to be a new file, but {path} exists already. Name another one, or "
            "remove it."
        )
    check_folder(path.parent, what)
