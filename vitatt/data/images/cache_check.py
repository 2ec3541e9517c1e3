"""What is in a folder of caches, and whether each of them is whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np


class CacheFile(NamedTuple):
    """One file of a cache, with those beside it.

    Attributes:
        name: Of the file.
        size: Bytes.
        state: In words.
        ok: Whether nothing is wrong with it; what is not finished is not wrong.
    """

    name: str
    size: int
    state: str
    ok: bool


def check_caches(folder: Path) -> list[CacheFile]:
    """Every cache of decoded images and tokens, and what was left over, without changing anything.

    Args:
        folder: ``data.cache_dir``; it may be absent.

    Raises:
        OSError: If the folder cannot be looked into.
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
        if file.name == "digests.json":
            return _ledger(file, size)
        if file.name.startswith(".") and ".part" in file.name:
            return CacheFile(file.name, size, "left over from a process that died", True)
        if file.suffix == ".marks" and not _owner(file):
            return CacheFile(file.name, size, "marks of an array that is gone", True)
    except OSError as error:
        return CacheFile(file.name, 0, f"cannot be read: {error.strerror or error}", False)
    return None  # summaries and marks are looked at with their arrays; locks stay for ever


def _images(file: Path, size: int) -> CacheFile:
    row = _row_bytes(file)
    summary = file.with_suffix(".json")
    try:
        reasons = json.loads(summary.read_text(encoding="utf-8"))
        unreadable = len(reasons.keys())
    except FileNotFoundError:
        return CacheFile(file.name, size, f"has no {summary.name}; is decoded anew", False)
    except (ValueError, AttributeError):
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


def _ledger(file: Path, size: int) -> CacheFile:
    try:
        count = len(json.loads(file.read_text(encoding="utf-8")).keys())
    except (ValueError, AttributeError):
        return CacheFile(file.name, size, "is damaged: every image file is read again", False)
    return CacheFile(file.name, size, f"knows {count} image files", True)


def _marks(file: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]] | None:
    try:
        return np.frombuffer(file.with_suffix(".marks").read_bytes(), np.uint8)
    except FileNotFoundError:
        return None


def _owner(marks: Path) -> bool:
    return any(marks.with_suffix(ending).exists() for ending in (".partial", ".f16", ".u8"))


def _row_bytes(file: Path) -> int:
    """Bytes of an image; the side stands in the name."""
    side = re.match(r"images-(\d+)px-", file.name)
    return int(side[1]) ** 2 * 3 if side else 0
