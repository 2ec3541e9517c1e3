"""Cases of a dataset whose images can be read, and messages about the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from vitatt.data.datasets import Dataset
from vitatt.data.datasets.table import LesionTable
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.files import require_same_content
from vitatt.data.splits import join_groups


class UsableCases(NamedTuple):
    """Cases of a dataset whose images can be read.

    Attributes:
        frame: Rows of these cases.
        cache: Pixels of their images.
        table: All cases of the dataset.
    """

    frame: pl.DataFrame
    cache: ImageCache
    table: LesionTable

    def left_out(self) -> dict[str, str]:
        """The reason of each case that is not among these, by its name."""
        paths = dict(self.table.cases.select("case_id", "image").iter_rows())
        absent = "it has no image file"
        return {
            name: absent if path is None else self.cache.unreadable[path]
            for name, path in paths.items()
            if path is None or path in self.cache.unreadable
        }


def load_cases(
    dataset: Dataset,
    root: Path,
    *,
    labelled: bool,
    image_size: int,
    cache_dir: Path,
    allow_ungrouped: bool = False,
    needed: Sequence[str] | None = None,
) -> UsableCases:
    """Return the cases of a dataset whose images can be read, and report how many cannot.

    Groups that have an image with the same bytes in common are joined (see `join_groups`).

    Raises:
        DataError: If files, columns or values are wrong, too many groups are unknown without
            `allow_ungrouped`, two files of one image differ, or no image can be read.
    """
    table = dataset.read(root, labelled=labelled, allow_ungrouped=allow_ungrouped, needed=needed)
    present = table.with_images()
    require_same_content(table.doubles, cache_dir)
    cache = ImageCache(present["image"].to_list(), size=image_size, folder=cache_dir)
    frame = present.filter(~pl.col("image").is_in(list(cache.unreadable)))
    digests = [cache.digests[path] for path in frame["image"].to_list()]
    content = pl.Series("content", digests, dtype=pl.String)
    joined = join_groups(frame["group"], content)
    usable = UsableCases(frame.with_columns(joined), cache, table)
    _report(usable, content, labelled=labelled)
    return usable


def _report(cases: UsableCases, content: pl.Series, *, labelled: bool) -> None:
    usable, cache, table = cases
    spec = table.spec
    alone = f" or images without {spec.group_column}" if table.ungrouped else ""
    rank_zero_info(
        f"{spec.title} in {table.root}: {table.cases.height} rows, {len(table.absent)} without an "
        f"image file, {len(cache.unreadable)} with an unreadable one; {usable.height} cases of "
        f"{usable['group'].n_unique()} {spec.group}s{alone}."
    )
    for note in table.notes:
        rank_zero_warn(note)
    if cache.unreadable:
        shown = "\n  ".join(list(cache.unreadable.values())[:5])
        rest = "\n`vitatt check-data` lists all of them." if labelled else ""
        rank_zero_warn(
            f"{len(cache.unreadable)} image files cannot be read and are left out:\n  {shown}{rest}"
        )
    twins = usable.filter(content.is_duplicated())
    if labelled and not twins.is_empty():
        rank_zero_warn(
            f"{twins.height} cases share an image with another case ({twins['case_id'][0]}, ...). "
            f"Their {spec.group}s are kept together in every split; `vitatt check-data` lists them."
        )
