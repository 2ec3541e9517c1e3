"""Contents of a folder of caches, and whether each file is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitatt.data.images.near_duplicates import read_pairs


class CacheFile(NamedTuple):
    """State of one file in a folder of caches.

    Attributes:
        name: Name of the file.
        size: Size in bytes.
        state: Description of the state.
        ok: Whether the file is undamaged; an unfinished cache is.
    """

    name: str
    size: int
    state: str
    ok: bool


def check_caches(folder: Path) -> list[CacheFile]:
    """Return the state of all caches and of leftover files; changes nothing.

    Args:
        folder: Folder of caches, ``data.cache_dir``; it may be absent.

    Raises:
        OSError: If the folder cannot be listed.
    """
    if not folder.is_dir():
        return []
    found = [_check(file) for file in sorted(folder.iterdir())]
    return [one for one in found if one is not None]


def _check(file: Path) -> CacheFile | None:
    kinds = {".u8": _images, ".partial": _unfinished, ".f16": _tokens}
    check = kinds.get(file.suffix) if file.name.startswith(("images-", "tokens-")) else None
    try:
        size = file.stat().st_size
        if check is not None:
            return check(file, size)
        if file.name.startswith("near-") and file.suffix == ".npz":
            return _near(file, size)
        if file.name == "digests.json":
            return _ledger(file, size)
        if file.name.startswith(".") and ".part" in file.name:
            return CacheFile(file.name, size, "left over from a process that died", True)
        if file.suffix == ".marks" and not _owner(file):
            return CacheFile(file.name, size, "marks of an array that is gone", True)
    except OSError as error:
        return CacheFile(file.name, 0, f"cannot be read: {error.strerror or error}", False)
    return None  # summaries and marks are checked with their arrays; locks are never removed


def _images(file: Path, size: int) -> CacheFile:
    row = _row_bytes(file)
    summary = file.with_suffix(".json")
    try:
        unreadable = _entries(summary)
    except FileNotFoundError:
        return CacheFile(file.name, size, f"has no {summary.name}; is decoded anew", False)
    if unreadable is None:
        return CacheFile(file.name, size, f"{summary.name} is damaged; is decoded anew", False)
    if row == 0 or size == 0 or size % row or size // row < unreadable:
        return CacheFile(
            file.name, size, "is truncated: its size is not that of whole images", False
        )
    return CacheFile(
        file.name, size, f"whole: {size // row} images, {unreadable} of them unreadable", True
    )


def _unfinished(file: Path, size: int) -> CacheFile:
    marks = _marks(file)
    if marks is None:
        return CacheFile(file.name, size, "unfinished, without marks: begins anew", True)
    state = f"unfinished: {np.count_nonzero(marks)} of {len(marks)} images; goes on from there"
    if size != len(marks) * _row_bytes(file):
        return CacheFile(
            file.name, size, f"{len(marks)} marks do not fit its size: begins anew", False
        )
    return CacheFile(file.name, size, state, True)


def _tokens(file: Path, size: int) -> CacheFile:
    marks = _marks(file)
    if marks is None:
        return CacheFile(file.name, size, "has no marks of what is filled: begins anew", False)
    if size == 0 or not len(marks) or size % (2 * len(marks)):
        return CacheFile(
            file.name, size, f"is truncated: {len(marks)} marks do not fit its size", False
        )
    filled = np.count_nonzero(marks)
    whole = "whole" if filled == len(marks) else "as far as it was needed"
    return CacheFile(file.name, size, f"{whole}: {filled} of {len(marks)} images", True)


def _near(file: Path, size: int) -> CacheFile:
    found = read_pairs(file)
    if found is None:
        return CacheFile(file.name, size, "is damaged; images are compared anew", False)
    return CacheFile(file.name, size, f"whole: {len(found.one)} pairs of nearly equal images", True)


def _ledger(file: Path, size: int) -> CacheFile:
    count = _entries(file)
    if count is None:
        return CacheFile(file.name, size, "is damaged: every image file is read again", False)
    return CacheFile(file.name, size, f"knows {count} image files", True)


def _entries(file: Path) -> int | None:
    """Return the number of entries of the object in a JSON file; None if the file is damaged."""
    content = file.read_bytes()
    try:
        entries = json.loads(content)
    except ValueError:  # neither text nor JSON
        return None
    return len(entries) if isinstance(entries, dict) else None


def _marks(file: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    try:
        return np.frombuffer(file.with_suffix(".marks").read_bytes(), np.uint8)
    except FileNotFoundError:
        return None


def _owner(marks: Path) -> bool:
    return any(marks.with_suffix(ending).exists() for ending in (".partial", ".f16", ".u8"))


def _row_bytes(file: Path) -> int:
    """Return the bytes of an image by the side in the file name; 0 if there is none."""
    side = re.match(r"images-(\d+)px-", file.name)
    return int(side[1]) ** 2 * 3 if side else 0
