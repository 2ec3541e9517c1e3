"""Folders that users name, and the files below them whose names are text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vitatt.types import DataError

_SHOWN = 3


def user_path(text: str, setting: str) -> Path:
    """A path as a user wrote it, ``~`` being the home folder.

    Args:
        text: The path.
        setting: Where it was given, such as ``data.root``, for the message.

    Raises:
        DataError: If its name is no UTF-8, or there is no such home folder.
    """
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
    """Whether a file name can be written as UTF-8; those that cannot have surrogates."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(name: str) -> str:
    """A file name, the bytes that are no UTF-8 written as hexadecimal escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def files_below(root: Path, left_out: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each folder with the names of its files, sorted, links being followed.

    Args:
        root: The outermost folder.
        left_out: Is given the paths of files and folders whose name is no UTF-8.
    """
    for folder, subfolders, names in os.walk(root, followlinks=True):
        left_out += [
            os.path.join(folder, name)  # noqa: PTH118 (it may be no text)
            for name in sorted([*subfolders, *names])
            if not is_text(name)
        ]
        subfolders[:] = sorted(
            name for name in subfolders if is_text(name) and not _leads_up(folder, name)
        )
        yield folder, sorted(name for name in names if is_text(name))


def _leads_up(folder: str, name: str) -> bool:
    """Whether a subfolder is a link to where one came from: to follow it would never end."""
    path = os.path.join(folder, name)  # noqa: PTH118 (as fast as can be, for many folders)
    if not os.path.islink(path):  # noqa: PTH114
        return False
    here, there = os.path.realpath(folder), os.path.realpath(path)
    return f"{here}{os.sep}".startswith(f"{there}{os.sep}")


def left_out_note(root: Path, left_out: list[str]) -> str:
    """A sentence about the files whose name is no UTF-8."""
    shown = ", ".join(escaped(path) for path in left_out[:_SHOWN])
    more = ", ..." if len(left_out) > _SHOWN else ""
    return (
        f"{len(left_out)} files or folders below {root} have a name that is no UTF-8 and are left "
        f"out: {shown}{more}. Rename them if they are needed."
    )
