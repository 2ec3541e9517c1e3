"""Files for results: known to be writable before the work, and whole or not there after it."""

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
    """A path to write to, which takes its place as `path` if nothing fails.

    Its folder is made. A process or machine that stops leaves the file as it was, and an error
    leaves nothing else behind. Two processes that write the same file do not meet: the later one
    stays.

    Args:
        path: The file.
        settle: Wait until the content is on disk, without which a machine that stops may leave an
            empty file: for all that cannot be made again at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, since some writers go by it. Two machines may have one process number.
    name = f".{path.stem[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}"
    temporary = path.with_name(name)
    try:
        yield temporary
        if settle:
            _settle(temporary)
        temporary.replace(path)
        if settle:
            with contextlib.suppress(OSError):  # not every system opens folders
                _settle(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(text: str, path: Path) -> None:
    """A text as UTF-8 with Unix line ends, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """A table as a Parquet or CSV file, by its ending, whole or not at all."""
    with whole_file(path) as part:
        if path.suffix == ".parquet":
            frame.write_parquet(part)
        else:
            frame.write_csv(part)


def write_image(pixels: NDArray[np.uint8], path: Path, **settings: Any) -> None:
    """Pixels (H, W, 3) as an image file, by its ending, whole or not at all.

    Args:
        pixels: RGB.
        path: The file.
        settings: Of Pillow's writer, such as ``quality``.
    """
    with whole_file(path, settle=False) as part:  # a validation run draws dozens
        Image.fromarray(pixels).save(part, **settings)


def check_folder(folder: Path, what: str) -> None:
    """Make a folder, with those above it, and see that files can be written there.

    Args:
        folder: The folder.
        what: Asks for it, such as ``--output``, for the message.

    Raises:
        UsageError: If it cannot be made, or no file can be written in it.
    """
    problem = "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "written"
        # Permissions do not tell: of a disk mounted read-only, or to an administrator.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-"):
            pass
    except (OSError, ValueError) as error:  # a name with a null byte is no OSError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The folder {folder}, which {what} names, cannot be {problem} ({reason}). Name "
            "another one."
        ) from error


def require_empty(folder: Path, what: str = "--output") -> None:
    """See that a folder holds no results yet; one that is not there will do, and is not made.

    Args:
        folder: The folder.
        what: Asks for it, for the message.

    Raises:
        UsageError: If it holds anything, or cannot be looked into.
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
    # `Path.is_dir` raises what `check_folder` is to say.
    return os.path.isdir(path)  # noqa: PTH112


def claim_folder(folder: Path, what: str = "--output") -> None:
    """Make a folder for the results of one run, in which there are no others yet.

    Args:
        folder: The folder.
        what: Asks for it, for the message.

    Raises:
        UsageError: If it holds anything, or cannot be written.
    """
    require_empty(folder, what)
    check_folder(folder, what)


def check_writable(path: Path, what: str = "--output", *, again: bool = False) -> None:
    """See that a file for results can be written, and that there is none yet.

    Args:
        path: The file; its folder is made.
        what: Asks for it, for the message.
        again: Whether it may be there already, and is written anew.

    Raises:
        UsageError: If it cannot, or something is there.
    """
    if _is_folder(path):
        raise UsageError(f"Expected {what} to be a file, but {path} is a folder.")
    if os.path.lexists(path) and not again:
        raise UsageError(
            f"Expected {what} to be a new file, but {path} exists already. Name another one, or "
            "remove it."
        )
    check_folder(path.parent, what)
