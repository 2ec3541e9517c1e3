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
from vitatt.data.images.near_duplicates import THRESHOLD, find_near_duplicates
from vitatt.data.splits import DEALT, join_groups
from vitatt.data.twins import Twins, of_two_groups, sort_out, with_content
from vitatt.data.views import each_image, with_readable


class UsableCases(NamedTuple):
    """Cases of a dataset whose images can be read.

    Attributes:
        frame: Rows of these cases; ``group`` is joined by images that are equal or nearly so, and
            ``dealt_group`` by equal ones alone, see `split_rows`.
        cache: Pixels of their images.
        table: All cases of the dataset.
        twins: Images of labelled cases that are nearly the same.
    """

    frame: pl.DataFrame
    cache: ImageCache
    table: LesionTable
    twins: Twins

    def left_out(self) -> dict[str, str]:
        """The reason of each case that is not among these, by its name."""
        there = set(self.frame["case_id"])
        paths = dict(each_image(self.table.cases).select("case_id", "image").iter_rows())
        return {
            name: self.cache.unreadable[paths[name]] if name in paths else "it has no image file"
            for name in self.table.cases["case_id"]
            if name not in there
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

    Groups that have an image in common, byte for byte or nearly, are joined (see `join_groups` and
    `find_near_duplicates`). Unlabelled cases are not split, and so not compared.

    Raises:
        DataError: If files, columns or values are wrong, too many groups are unknown without
            `allow_ungrouped`, two files of one image differ, or no image can be read.
    """
    table = dataset.read(root, labelled=labelled, allow_ungrouped=allow_ungrouped, needed=needed)
    present = table.with_images()
    require_same_content(table.doubles, cache_dir)
    paths = each_image(present)["image"].to_list()
    cache = ImageCache(paths, size=image_size, folder=cache_dir)
    frame = with_readable(present, cache.unreadable)
    images = with_content(frame, cache.digests).select("case_id", "group", "content")
    twins = Twins.none()
    if labelled:
        near = find_near_duplicates(cache, cache_dir)
        twins = sort_out(near, images["group"], images["content"])
    equal = join_groups(images["group"], images["content"])
    joined = join_groups(equal, twins.keys(images["content"]))
    of_group = pl.DataFrame({"group": images["group"], "joined": joined, DEALT: equal}).unique()
    frame = frame.with_columns(
        frame["group"].replace(of_group["group"], of_group["joined"]),
        frame["group"].replace(of_group["group"], of_group[DEALT]).alias(DEALT),
    )
    usable = UsableCases(frame, cache, table, twins)
    _report(usable, images, labelled=labelled)
    if labelled:
        _report_twins(usable, images)
    return usable


def _report(cases: UsableCases, images: pl.DataFrame, *, labelled: bool) -> None:
    usable, cache, table, _ = cases
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
    shared = images.filter(pl.col("case_id").n_unique().over("content") > 1)["case_id"]
    if labelled and not shared.is_empty():
        rank_zero_warn(
            f"{shared.n_unique()} cases share an image with another case ({shared[0]}, ...). "
            f"Their {spec.group}s are kept together in every split; `vitatt check-data` lists them."
        )


def _report_twins(usable: UsableCases, cases: pl.DataFrame) -> None:
    """Say which groups are joined since their images are nearly the same.

    Args:
        usable: The cases.
        cases: Columns ``case_id``, ``group`` as published and ``content``.
    """
    spec, twins = usable.table.spec, usable.twins
    shared = of_two_groups(twins.pairs, cases)
    if not shared.is_empty():
        first = shared.row(0, named=True)
        rank_zero_warn(
            f"{shared.height} pairs of images under two {spec.group}s are nearly the same "
            f"({first['case_id']} and {first['case_id_other']}, ...): {THRESHOLD}. Their "
            f"{spec.group}s are kept together in every split; `vitatt check-data` lists them."
        )
    if chain := twins.chain_note(cases, spec.group):
        rank_zero_warn(chain)
