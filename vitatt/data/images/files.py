"""Image files of the cases, in any structure of folders."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.images.digests import UNOPENED, digest_files
from vitatt.paths import files_below, left_out_note
from vitatt.types import DataError

Pair = tuple[str, str]
"""Paths of two files that must hold the same image."""


IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"),
    *(".heic", ".heif"),  # with the extra `heic`
)
"""Endings of image files, in lower case."""


class ImageFiles(NamedTuple):
    """Image files by name.

    Attributes:
        paths: Path of the file of each name.
        doubles: Paths of further files of the same name.
        alike: Paths of all image files by their name in lower case, without folder and ending.
        notes: Remarks for the user, one sentence each.
    """

    paths: dict[str, str]
    doubles: dict[str, list[str]]
    alike: dict[str, list[str]]
    notes: tuple[str, ...] = ()

    def of(self, names: pl.Series) -> pl.Series:
        """Return the path of each name, null where there is none.

        A name without a file of exactly this name has the one file that differs in capitals, ending
        or outer folders only, if no other name could mean the same file. A folder in the name must
        be that of the file: another one may be another patient's.
        """
        known = self.paths | self._alike_to(names)
        return names.replace_strict(known, default=None, return_dtype=pl.String)

    def notes_on(self, names: pl.Series) -> tuple[str, ...]:
        """Return `notes`, and a sentence if names have files of nearly the same name."""
        found = self._alike_to(names)
        if not found:
            return self.notes
        name, path = next(iter(found.items()))
        return (
            *self.notes,
            f"{len(found)} images are named differently in table and folder, and are taken for the "
            f"same since only capitals, ending or folder differ: '{name}' is {path}.",
        )

    def _alike_to(self, names: pl.Series) -> dict[str, str]:
        wanted = names.drop_nulls().unique(maintain_order=True).to_list()
        lacking = [name for name in wanted if name not in self.paths]
        if not lacking:
            return {}
        uses = Counter(_plain(name) for name in wanted)
        return {
            name: files[0]
            for name in lacking
            if len(files := self.alike.get(_plain(name), [])) == 1 == uses[_plain(name)]
            and _agree(name, files[0])
        }

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
    root: Path,
    endings: Iterable[str] = IMAGE_ENDINGS,
    *,
    name_of: Callable[[str], str] = str,
) -> ImageFiles:
    """Find the image files below a folder, by name.

    Args:
        root: The folder.
        endings: Endings of the dataset's image files, in lower case.
        name_of: Name in the tables of a file's name; by default the same.
    """
    wanted = tuple(endings)
    paths: dict[str, str] = {}
    doubles: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    left_out: list[str] = []
    for path in image_paths(root, left_out):
        file = path.rpartition(os.sep)[2]
        alike.setdefault(_plain(file), []).append(path)
        if not file.lower().endswith(wanted):
            continue
        name = name_of(file)
        other = paths.setdefault(name, path)
        if other == path:
            continue
        if os.path.exists(other) and os.path.exists(path):  # noqa: PTH110
            doubles.setdefault(name, []).append(path)
        elif os.path.exists(path):  # noqa: PTH110
            paths[name] = path  # the other is a broken link
    notes = (left_out_note(root, left_out),) if left_out else ()
    return ImageFiles(paths, doubles, alike, notes)


def image_paths(root: Path, left_out: list[str]) -> list[str]:
    """Paths of all image files below a folder, but hidden ones.

    Args:
        root: The folder.
        left_out: Receives the paths of files and folders whose name is no UTF-8.
    """
    return [
        os.path.join(folder, file)  # noqa: PTH118 (a Path per file is slow at 10^6)
        for folder, names in files_below(root, left_out)
        for file in names
        if file.lower().endswith(IMAGE_ENDINGS) and not file.startswith(".")
    ]


def images_there(root: Path) -> str:
    """What image files are below a folder, for an error message."""
    found = [path.rpartition(os.sep)[2] for path in image_paths(root, [])]
    if not found:
        return "There is no image file at all below it"
    shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return f"There are {len(found)} image files below it ({shown})"


def _agree(name: str, path: str) -> bool:
    """Whether the folder in a name, if there is one, is that of the file."""
    folder = name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
    return not folder or folder.casefold() == Path(path).parent.name.casefold()


def _plain(name: str) -> str:
    """A name in lower case, without folder and ending; accents are one letter."""
    file = name.replace("\\", "/").rpartition("/")[2].casefold()
    file = unicodedata.normalize("NFC", file)
    stem, point, ending = file.rpartition(".")
    return stem if f"{point}{ending}" in IMAGE_ENDINGS else file


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
