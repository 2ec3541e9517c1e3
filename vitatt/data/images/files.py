"""Image files of the cases, in any structure of folders."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.images.archives import ARCHIVE_ENDINGS, container, paths_in
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
    without_ending: bool = False,
    places: Sequence[str] = (),
) -> ImageFiles:
    """Find the image files below a folder, by name.

    Args:
        root: The folder.
        endings: Endings of the dataset's image files, in lower case.
        without_ending: Whether tables name the files without their ending.
        places: See `image_paths`.

    Raises:
        DataError: If an archive cannot be read, or no place is there.
    """
    wanted = tuple(endings)
    paths: dict[str, str] = {}
    doubles: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    notes: list[str] = []
    for path in image_paths(root, notes, places):
        name = os.path.basename(path)  # noqa: PTH119
        alike.setdefault(_plain(name), []).append(path)
        if (ending := _ending(name)) and ending not in wanted:
            continue
        if without_ending:
            name = name[: len(name) - len(ending)]
        other = paths.setdefault(name, path)
        if other == path:
            continue
        if os.path.exists(container(other)) and os.path.exists(container(path)):  # noqa: PTH110
            doubles.setdefault(name, []).append(path)
        elif os.path.exists(container(path)):  # noqa: PTH110
            paths[name] = path  # the other is a broken link
    return ImageFiles(paths, doubles, alike, tuple(notes))


def image_paths(root: Path, notes: list[str], places: Sequence[str] = ()) -> list[str]:
    """Paths of all image files below a folder, but hidden ones.

    Args:
        root: The folder.
        notes: Receives remarks for the user, one sentence each.
        places: Folders, zip archives and HDF5 files in which to look, by their path below `root`.
            By default all folders or, if there is no image in them, all archives.

    Raises:
        DataError: If an archive cannot be read, or no place is there, or one is another file.
    """
    left_out: list[str] = []
    archives: list[str] = []
    found: list[str] = []
    there = [place for place in places if (root / place).exists()]
    if places and not there:
        raise DataError(
            f"Expected the images in {', '.join(places)} below {root}, but "
            f"{'neither is' if len(places) > 1 else 'it is not'} there."
        )
    if absent := [place for place in places if place not in there]:
        notes.append(f"{', '.join(absent)} below {root}, which may have images, is not there.")
    named = [str(root / place) for place in there]
    for path in named:
        if not os.path.isdir(path) and not path.lower().endswith(ARCHIVE_ENDINGS):  # noqa: PTH112
            raise DataError(
                f"Expected the images in folders, zip archives or HDF5 files, but got {path}. "
                "Unpack it, and name the folder."
            )
    for folder, names in _folders([Path(path) for path in named] or [root], left_out):
        below = [os.path.join(folder, name) for name in names]  # noqa: PTH118 (slow at 10^6)
        found += [path for path in below if _is_image(path)]
        archives += [path for path in below if path.lower().endswith(ARCHIVE_ENDINGS)]
    if left_out:
        notes.append(left_out_note(root, left_out))
    archives = [path for path in archives if path in named or (not named and not found)]
    for archive in archives:
        zipped = archive.lower().endswith(".zip")
        found += [path for path in paths_in(archive) if not zipped or _is_image(path)]
    return found


def _folders(places: Iterable[Path], left_out: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with the names of their files; a place that is a file is its own."""
    for place in places:
        if place.is_dir():
            yield from files_below(place, left_out)
        else:
            yield str(place.parent), [place.name]


def _is_image(path: str) -> bool:
    """Whether the name is that of an image, and the file is not hidden."""
    name = os.path.basename(path)  # noqa: PTH119 (a Path per file is slow at 10^6)
    return name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")


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


def _ending(name: str) -> str:
    """The ending of an image file in lower case; empty if the name has none."""
    ending = f".{name.rpartition('.')[2].lower()}"
    return ending if ending in IMAGE_ENDINGS else ""


def _plain(name: str) -> str:
    """A name in lower case, without folder and ending; accents are one letter."""
    file = name.replace("\\", "/").rpartition("/")[2].casefold()
    file = unicodedata.normalize("NFC", file)
    return file.removesuffix(_ending(file))


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
    if container(one) != one or container(other) != other:
        return True
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
