"""Paths given by users, and the files below them whose names are UTF-8."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vitatt.types import DataError

_SHOWN = 3


def user_path(text: str | Path, setting: str) -> Path:
    """Return a path as a user wrote it, with ``~`` expanded to the home folder.

    Args:
        text: The path.
        setting: The setting that holds it, such as ``data.root``, for the message.

    Raises:
        DataError: If the path is not UTF-8, or the home folder is unknown.
    """
    text = str(text)
    if not is_text(text):
        raise DataError(
            f"The name of the folder given as `{setting}` is no UTF-8: {escaped(text)}. Rename "
            "it: tables and reports hold the paths of the images, and are UTF-8."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"The home folder in {text} is not known. Give `{setting}` without ~."
        ) from error


def is_text(name: str) -> bool:
    """Whether a file name can be encoded as UTF-8; Python marks other bytes by surrogates."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(name: str) -> str:
    """Return a file name with the bytes that are not UTF-8 as hexadecimal escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def files_below(root: Path, left_out: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with the sorted names of its files; links are followed.

    Files and folders whose name is not UTF-8 are skipped.

    Args:
        root: The outermost folder.
        left_out: Receives the paths of the files and folders that are skipped.
    """
    for folder, subfolders, names in os.walk(root, followlinks=True):
        left_out += [
            os.path.join(folder, name)  # noqa: PTH118 (may not be UTF-8)
            for name in sorted([*subfolders, *names])
            if not is_text(name)
        ]
        subfolders[:] = sorted(
            name for name in subfolders if is_text(name) and not _leads_up(folder, name)
        )
        yield folder, sorted(name for name in names if is_text(name))


def _leads_up(folder: str, name: str) -> bool:
    """Whether a subfolder is a link to a folder that contains it, which never ends if followed."""
    path = os.path.join(folder, name)  # noqa: PTH118 (a Path per folder is slow)
    if not os.path.islink(path):  # noqa: PTH114
        return False
    here, there = os.path.realpath(folder), os.path.realpath(path)
    return f"{here}{os.sep}".startswith(f"{there}{os.sep}")


def left_out_note(root: Path, left_out: list[str]) -> str:
    """Return a sentence about the files whose name is not UTF-8."""
    shown = ", ".join(escaped(path) for path in left_out[:_SHOWN])
    more = ", ..." if len(left_out) > _SHOWN else ""
    return (
        f"{len(left_out)} files or folders below {root} have a name that is no UTF-8 and are left "
        f"out: {shown}{more}. Rename them if they are needed."
    )
