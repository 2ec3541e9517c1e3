"""Cases of a dataset whose images can be read, and messages about the others."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from vitatt.data.datasets import DATASETS
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


def load_cases(
    dataset: str,
    root: Path,
    *,
    labelled: bool,
    image_size: int,
    cache_dir: Path,
    allow_ungrouped: bool = False,
) -> UsableCases:
    """Return the cases of a dataset whose images can be read, and report how many cannot.

    Groups that have an image with the same bytes in common are joined (see `join_groups`).

    Raises:
        DataError: If files, columns or values are wrong, too many groups are unknown without
            `allow_ungrouped`, two files of one image differ, or no image can be read.
    """
    read = DATASETS[dataset].read
    table = read(root, labelled=labelled, allow_ungrouped=allow_ungrouped)
    present = table.with_images()
    require_same_content(table.doubles, cache_dir)
    cache = ImageCache(present["image"].to_list(), size=image_size, folder=cache_dir)
    frame = present.filter(~pl.col("image").is_in(list(cache.unreadable)))
    digests = [cache.digests[path] for path in frame["image"].to_list()]
    content = pl.Series("content", digests, dtype=pl.String)
    joined = join_groups(frame["group"], content)
    _report(table, cache, frame, content)
    return UsableCases(frame.with_columns(joined), cache, table)


def _report(
    table: LesionTable, cache: ImageCache, usable: pl.DataFrame, content: pl.Series
) -> None:
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
        rank_zero_warn(
            f"{len(cache.unreadable)} image files cannot be read and are left out:\n  {shown}\n"
            "`vitatt check-data` lists all of them."
        )
    twins = usable.filter(content.is_duplicated())
    if not twins.is_empty():
        rank_zero_warn(
            f"{twins.height} cases share an image with another case ({twins['case_id'][0]}, ...). "
            f"Their {spec.group}s are kept together in every split; `vitatt check-data` lists them."
        )
