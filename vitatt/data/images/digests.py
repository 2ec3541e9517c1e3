"""Content digests of files, stored so that unchanged files are not read again."""

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

from vitatt.data.images.archives import container, content
from vitatt.data.images.partial_array import make_folder
from vitatt.files import whole_file

UNOPENED = "unopened-"
"""Prefix of the digest of a file that cannot be opened."""

Stamp = tuple[int, int, int, int]
"""Size, times of the last change of content and of inode in ns, and inode number of a file."""


def digest(data: bytes) -> str:
    """Return the digest of bytes in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_files(paths: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the content digest of each file; one with a known path and stamp is not read again.

    The stamp is more than size and time of the content, since copies may keep both. The inode or
    its time changes with every replacement, and ordinary programs cannot set them.

    The digest of a file that cannot be opened (a broken link, no permission) is made from the
    current time, so that the file is tried again the next time.

    Args:
        paths: The files.
        folder: Folder of the ledger of known digests.

    Raises:
        DataError: If no file can be written in the folder.
    """
    make_folder(folder)
    ledger = folder / "digests.json"
    known = _read_ledger(ledger)
    stamp = functools.lru_cache(maxsize=16)(_stamp)  # of an archive, for all images in it
    stamps = {path: stamp(container(path)) for path in dict.fromkeys(paths)}
    folders = functools.lru_cache(maxsize=None)(os.path.realpath)
    real = {path: _real_path(path, folders) for path in stamps}
    digests = {
        path: known[real[path]][1]
        for path, own in stamps.items()
        if real[path] in known and known[real[path]][0] == own
    }
    if unread := [path for path in stamps if path not in digests]:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            digests.update(zip(unread, pool.map(_digest_file, unread), strict=True))
        found = {
            real[path]: (stamps[path], digests[path])
            for path in unread
            if not digests[path].startswith(UNOPENED)
        }
        # The ledger only saves time. A full disk is reported once content needs room.
        with contextlib.suppress(OSError), FileLock(folder / "digests.lock"):
            entries = _read_ledger(ledger) | found
            with whole_file(ledger) as part:
                part.write_text(
                    json.dumps({path: (*stamp, value) for path, (stamp, value) in entries.items()})
                )
    return {path: digests[path] for path in stamps}


def _real_path(path: str, real_folder: Callable[[str], str]) -> str:
    """Return the real path, resolving each folder once: few image files are links themselves."""
    folder, name = os.path.split(path)
    joined = os.path.join(real_folder(folder), name)  # noqa: PTH118 (a Path per file is slow)
    return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114


def _read_ledger(ledger: Path) -> dict[str, tuple[Stamp, str]]:
    """Return the stored digests; entries of another form are left out, and so read again."""
    try:
        entries = json.loads(ledger.read_bytes())
    except (OSError, ValueError):  # ValueError: neither text nor JSON
        return {}
    known = {}
    for path, entry in entries.items() if isinstance(entries, dict) else ():
        match entry:
            case [int(size), int(changed), int(inode_changed), int(inode), str(value)]:
                known[path] = ((size, changed, inode_changed, inode), value)
    return known


def _stamp(path: str) -> Stamp:
    """Return the stamp of the file that a path leads to; all -1 if it cannot be found."""
    try:
        stat = os.stat(path)  # noqa: PTH116 (a Path per file is slow at 10^6 files)
    except OSError:
        return (-1, -1, -1, -1)
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _digest_file(path: str) -> str:
    try:
        return digest(content(path))
    except OSError:
        return f"{UNOPENED}{time.time_ns()}"
