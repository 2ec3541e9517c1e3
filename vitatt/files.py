"""Files for results: known to be writable before the work, and whole or not there after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitatt.types import UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which takes its place as `path` if nothing fails.

    Its folder is made. Two processes that write the same file do not meet: the later one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Make the folder of an output file.

    Raises:
        UsageError: If the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(path.parent, os.W_OK) and not path.is_dir()
    except OSError:
        writable = False
    if not writable:
        raise UsageError(f"Expected --output to be a file that can be written, but got {path}.")
