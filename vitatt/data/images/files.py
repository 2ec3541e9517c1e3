"""Which image file belongs to which case, whatever folders the files lie in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.images.digests import UNOPENED, digest_files
from vitatt.paths import files_below, left_out_note
from vitatt.types import DataError

Pair = tuple[str, str]
"""Paths of two files that should be one."""


class ImageFiles(NamedTuple):
    """Image files by name.

    Attributes:
        paths: The file of each name.
        doubles: Further files of a name.
        notes: Oddities, one sentence each, for people.
    """

    paths: dict[str, str]
    doubles: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def of(self, names: pl.Series) -> pl.Series:
        """The path for each name, null where there is none."""
        return names.replace_strict(self.paths, default=None, return_dtype=pl.String)

    def pairs(self, names: pl.Series) -> tuple[Pair, ...]:
        """Two files each that must be the same, since both belong to one of these names.

        Raises:
            DataError: If two of them differ in size.
        """
        if not self.doubles:
            return ()
        used = set(names.drop_nulls())
        return tuple(
            (self.paths[name], other)
            for name, others in self.doubles.items()
            if name in used
            for other in others
            if _may_be_equal(self.paths[name], other)
        )


def index_images(
    root: Path, suffixes: Iterable[str], *, name_of: Callable[[str], str] = str
) -> ImageFiles:
    """Image files below a folder by name, whatever folders they lie in.

    Args:
        root: The folder.
        suffixes: Endings of image files, in lower case.
        name_of: From a file's name to the name that tables have; by default the same.
    """
    wanted = tuple(suffixes)
    paths: dict[str, str] = {}
    doubles: dict[str, list[str]] = {}
    left_out: list[str] = []
    for folder, names in files_below(root, left_out):
        for file in names:
            if not file.lower().endswith(wanted) or file.startswith("."):
                continue
            name = name_of(file)
            path = os.path.join(folder, file)  # noqa: PTH118 (a Path per file is slow at 10^6)
            other = paths.setdefault(name, path)
            if other == path:
                continue
            if os.path.exists(other) and os.path.exists(path):  # noqa: PTH110
                doubles.setdefault(name, []).append(path)
            elif os.path.exists(path):  # noqa: PTH110
                paths[name] = path  # the other is a link to nowhere
    notes = (left_out_note(root, left_out),) if left_out else ()
    return ImageFiles(paths, doubles, notes)


def require_same_content(pairs: Sequence[Pair], cache_dir: Path) -> None:
    """Check that two files of one case hold the same bytes.

    Args:
        pairs: Of `ImageFiles.pairs`.
        cache_dir: Folder of the caches, where known digests are.

    Raises:
        DataError: If they do not, or a file cannot be opened; the message names both.
    """
    digests = digest_files([path for pair in pairs for path in pair], cache_dir) if pairs else {}
    for one, other in pairs:
        for path in (one, other):
            if digests[path].startswith(UNOPENED):
                raise DataError(
                    f"{one} and {other} belong to one image, but {path} cannot be opened to "
                    "compare them. Make it readable, or remove it."
                )
        if digests[one] != digests[other]:
            raise _differ(one, other)


def _may_be_equal(one: str, other: str) -> bool:
    """Whether two files are two indeed, and of one size.

    Raises:
        DataError: If their sizes differ.
    """
    if os.path.samefile(one, other):  # noqa: PTH121
        return False
    if os.path.getsize(one) != os.path.getsize(other):  # noqa: PTH202
        raise _differ(one, other)
    return True


def _differ(one: str, other: str) -> DataError:
    names = dict.fromkeys(Path(path).name for path in (one, other))
    return DataError(
        f"Two different files are named {' and '.join(names)}: {one} and {other}. Keep one of them."
    )
