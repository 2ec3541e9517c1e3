"""Digests of files' content, remembered so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from vitatt.data.images.partial_array import make_folder
from vitatt.files import whole_file

UNOPENED = "unopened-"
"""Begins the digest of a file that cannot be opened."""

Stamp = tuple[int, int, int, int]
"""Size, times of the last change of content and of inode, and inode number of a file."""


def digest(content: bytes) -> str:
    """Digest of bytes, as hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def digest_files(paths: Sequence[str], folder: Path) -> dict[str, str]:
    """Content digest of each file; files known by their real path and stamp are not read again.

    Size and time alone are not enough: copies keep both. The inode and its time change with every
    replacement, and no ordinary program can set them.

    A file that cannot be opened (a broken link, no permission) has a digest of the moment, so that
    it is tried again the next time.

    Args:
        paths: The files.
        folder: Where the ledger of known digests is.

    Raises:
        DataError: If nothing can be written to the folder.
    """
    make_folder(folder)
    ledger = folder / "digests.json"
    known = _read_ledger(ledger)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    folders = functools.lru_cache(maxsize=None)(os.path.realpath)
    real = {path: _real_path(path, folders) for path in stamps}
    digests = {
        path: known[real[path]][1]
        for path, stamp in stamps.items()
        if real[path] in known and known[real[path]][0] == stamp
    }
    if unread := [path for path in stamps if path not in digests]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            digests.update(zip(unread, pool.map(_digest_file, unread), strict=True))
        found = {
            real[path]: (stamps[path], digests[path])
            for path in unread
            if not digests[path].startswith(UNOPENED)
        }
        # It only saves time, so a full disk is left to whoever needs room for content.
        with contextlib.suppress(OSError), FileLock(folder / "digests.lock"):
            entries = _read_ledger(ledger) | found
            with whole_file(ledger) as part:
                part.write_text(
                    json.dumps({path: (*stamp, value) for path, (stamp, value) in entries.items()})
                )
    return {path: digests[path] for path in stamps}


def _real_path(path: str, real_folder: Callable[[str], str]) -> str:
    """Absolute path without links; the folder's is found once, since most files are no links."""
    folder, name = os.path.split(path)
    joined = os.path.join(real_folder(folder), name)  # noqa: PTH118 (a Path per file is slow)
    return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114


def _read_ledger(ledger: Path) -> dict[str, tuple[Stamp, str]]:
    """What was written there; entries of another form, or a damaged file, only cost time."""
    try:
        entries = json.loads(ledger.read_bytes()).items()
    except (OSError, ValueError, AttributeError):
        return {}
    known = {}
    for path, entry in entries:
        with contextlib.suppress(ValueError, TypeError):
            size, changed, inode_changed, inode, value = entry
            stamp = (int(size), int(changed), int(inode_changed), int(inode))
            known[path] = (stamp, str(value))
    return known


def _stamp(path: str) -> Stamp:
    """Of the file that a path leads to; all -1 for one that cannot be opened."""
    try:
        stat = os.stat(path)  # noqa: PTH116 (a Path per file is slow at 10^6 files)
    except OSError:
        return (-1, -1, -1, -1)
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _digest_file(path: str) -> str:
    try:
        return digest(Path(path).read_bytes())
    except OSError:
        return f"{UNOPENED}{time.time_ns()}"
