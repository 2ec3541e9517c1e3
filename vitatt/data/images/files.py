"""Image files of the cases, in any structure of folders."""

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
"""Paths of two files that must hold the same image."""


class ImageFiles(NamedTuple):
    """Image files by name.

    Attributes:
        paths: Path of the file of each name.
        doubles: Paths of further files of the same name.
        notes: Remarks for the user, one sentence each.
    """

    paths: dict[str, str]
    doubles: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def of(self, names: pl.Series) -> pl.Series:
        """Return the path of each name, null where there is none."""
        return names.replace_strict(self.paths, default=None, return_dtype=pl.String)

    def pairs(self, names: pl.Series) -> tuple[Pair, ...]:
        """Return pairs of files that must be equal, since both have one of these names.

        Raises:
            DataError: If the two files of a pair differ in size.
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
    """Find the image files below a folder, by name.

    Args:
        root: The folder.
        suffixes: Suffixes of image files, in lower case.
        name_of: Name in the tables of a file's name; by default the same.
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
                paths[name] = path  # the other is a broken link
    notes = (left_out_note(root, left_out),) if left_out else ()
    return ImageFiles(paths, doubles, notes)


def require_same_content(pairs: Sequence[Pair], cache_dir: Path) -> None:
    """Check that the files of each pair hold the same bytes.

    Args:
        pairs: Pairs from `ImageFiles.pairs`.
        cache_dir: Folder of caches, with the known digests.

    Raises:
        DataError: If two files differ, or one cannot be opened; the message names both.
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
    """Whether two paths lead to different files, which then must have the same size.

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
