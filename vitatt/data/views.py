"""Cases of several images: which images a case has, and tables with a row for each image.

The column ``image`` of a table of cases holds the path of a file. Of a dataset with views (such as
close-up and dermoscopic) it holds a list of paths, one for each view, null where it is absent.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.datasets.view_rows import without_empty_lists
from vitatt.data.images.cache import ImageCache


def has_views(cases: pl.DataFrame) -> bool:
    """Return whether a case has a list of images."""
    return isinstance(cases.schema["image"], pl.List)


def each_image(cases: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each image that is there, with the other columns of its case."""
    images = cases.explode("image") if has_views(cases) else cases
    return images.drop_nulls("image")


def with_readable(cases: pl.DataFrame, unreadable: Collection[str]) -> pl.DataFrame:
    """Return the cases that have a readable image; views that cannot be read are absent.

    Args:
        cases: Cases that have an image.
        unreadable: Paths of images that cannot be read.
    """
    if not has_views(cases):
        return cases.filter(~pl.col("image").is_in(list(unreadable)))
    wrong = pl.element().is_in(list(unreadable))
    readable = pl.col("image").list.eval(pl.when(~wrong).then(pl.element()))
    return without_empty_lists(cases.with_columns(readable)).drop_nulls("image")


def slots_of(cases: pl.DataFrame, cache: ImageCache) -> NDArray[np.int64]:
    """Return the row in the cache of each image, (N,), or (N, V) with -1 for absent views."""
    if not has_views(cases):
        return cache.rows(cases["image"].to_list())
    images = cases["image"].explode()
    slots = np.full(len(images), -1, np.int64)
    slots[images.is_not_null().to_numpy()] = cache.rows(images.drop_nulls().to_list())
    return slots.reshape(cases.height, -1)
