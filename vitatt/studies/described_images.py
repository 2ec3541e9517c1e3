"""What the images of a described table show before any training: one image under two groups."""

from __future__ import annotations

import polars as pl

from vitatt.data.checks.leaks import IMAGES, images_of_two_groups
from vitatt.data.images.cache import ImageCache, default_folder
from vitatt.data.images.near_duplicates import THRESHOLD, find_near_duplicates
from vitatt.data.images.perceptual_hash import SIDE
from vitatt.data.twins import with_content
from vitatt.types import DataError


def shared_image_warnings(cases: pl.DataFrame) -> list[str]:
    """Return a warning if images stand under two groups, byte for byte or nearly.

    They are decoded at a small size into the user's cache folder.

    Args:
        cases: Columns ``case_id``, ``group`` and ``image``, the path of each case's image.
    """
    try:
        folder = default_folder()
        cache = ImageCache(cases["image"].to_list(), size=SIDE, folder=folder)
        near = find_near_duplicates(cache, folder).pairs
    except DataError as error:  # a description can be drafted nevertheless
        return [f"{IMAGES}: not looked for. {error}"]
    readable = cases.filter(~pl.col("image").is_in(list(cache.unreadable)))
    found = images_of_two_groups(with_content(readable, cache.digests), near, "group")
    shared = [one.outcome for one in found if not one.ok]
    if not shared:
        return []
    count = "one" if len(shared) == 1 else f"{len(shared)}, the first being"
    return [f"{IMAGES}: {count} {shared[0]}. Nearly the same means: {THRESHOLD}."]
