"""Images that stand under several names, byte for byte or nearly, and the groups they join."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vitatt.data.images.near_duplicates import NearDuplicates
from vitatt.data.views import each_image

_CHAIN_GROUPS = 20
_CHAIN_SHARE = 0.05


class Twins(NamedTuple):
    """Pairs of images that are nearly the same, by content digest.

    Attributes:
        pairs: Columns ``one``, ``other`` and ``similarity``; their groups belong together.
        chained: Other such pairs, whose groups do not: see `sort_out`.
        flat: Digests of images with too little contrast to be compared.
    """

    pairs: pl.DataFrame
    chained: pl.DataFrame
    flat: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> Twins:
        """No images."""
        pairs = NearDuplicates.none().pairs
        return cls(pairs, pairs)

    def keys(self, content: pl.Series) -> pl.Series:
        """Return the digests (N,) of images, the same one for all that are nearly the same."""
        names = _names(self.pairs)
        if names.is_empty():
            return content
        component = _components(self.pairs, names)
        first = pl.DataFrame({"name": names}).select(pl.col("name").min().over(component))
        return content.replace(names, first.to_series())

    def chain_note(self, cases: pl.DataFrame, group: str) -> str:
        """Say that images form a chain that joins no groups; empty if there is none.

        Args:
            cases: Columns ``case_id``, ``group`` and ``content``.
            group: ``patient`` or ``lesion``.
        """
        if self.chained.is_empty():
            return ""
        linked = cases.filter(pl.col("content").is_in(_names(self.chained).implode()))
        return (
            f"{linked.height} images of {linked['group'].n_unique()} {group}s are linked by pairs "
            f"that are nearly the same, the first being {linked['case_id'][0]}: too many to be "
            f"copies. Their {group}s are not kept together; look at the images."
        )


def with_content(cases: pl.DataFrame, digests: Mapping[str, str]) -> pl.DataFrame:
    """Return a row for each image of the cases, with its digest as ``content``."""
    content = pl.col("image").replace_strict(digests, default=None, return_dtype=pl.String)
    return each_image(cases).with_columns(content.alias("content")).drop_nulls("content")


def case_pairs(pairs: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    """Return the cases of pairs of images, the most similar first.

    Args:
        pairs: Columns ``one``, ``other`` and ``similarity``.
        cases: Column ``content``, the digest of each case's image, and any others.

    Returns:
        The other columns of `cases` for the first image, and again with the ending ``_other`` for
        the second; and ``similarity``.
    """
    rows = cases.with_row_index("row")
    both = pairs.join(rows, left_on="one", right_on="content").join(
        rows, left_on="other", right_on="content", suffix="_other"
    )
    ordered = both.sort("similarity", "row", "row_other", descending=[True, False, False])
    return ordered.drop("one", "other", "row", "row_other")


def of_two_groups(pairs: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    """Return those of `case_pairs` whose cases are of two groups."""
    return case_pairs(pairs, cases).filter(pl.col("group") != pl.col("group_other"))


def sort_out(near: NearDuplicates, group: pl.Series, content: pl.Series) -> Twins:
    """Return the pairs that join groups, apart from chains that no copying explains.

    A pair may be wrong, and pairs are linked: of three images, the first may be like the second and
    the second like the third. A chain that links more than 20 groups and more than 5 % of all
    would fill a fold by itself. It is taken for images that look alike, and joins no groups.

    Args:
        near: Images that are nearly the same.
        group: Published group of each case, (N,).
        content: Digest of each case's image, (N,).
    """
    used = pl.all_horizontal(pl.col("one", "other").is_in(content.implode()))
    pairs = near.pairs.filter(used)
    names = _names(pairs)
    if names.is_empty():
        return Twins(pairs, pairs, near.flat)
    component = pl.DataFrame({"content": names, "component": _components(pairs, names)})
    cases = pl.DataFrame({"group": group, "content": content}).join(component, on="content")
    linked = cases.group_by("component").agg(pl.col("group").n_unique())
    most = max(_CHAIN_GROUPS, _CHAIN_SHARE * group.n_unique())
    long = linked.filter(pl.col("group") > most)["component"]
    of_pair = pairs["one"].replace_strict(component["content"], component["component"])
    chained = of_pair.is_in(long.implode())
    return Twins(pairs.filter(~chained), pairs.filter(chained), near.flat)


def _names(pairs: pl.DataFrame) -> pl.Series:
    return pl.concat([pairs["one"], pairs["other"]]).unique().sort().alias("name")


def _components(pairs: pl.DataFrame, names: pl.Series) -> pl.Series:
    """Return the connected component of each name."""
    one, other = (names.search_sorted(pairs[side]).to_numpy() for side in ("one", "other"))
    size = (len(names), len(names))
    graph = coo_array((np.ones(len(one)), (one, other)), shape=size)
    return pl.Series("component", connected_components(graph, directed=False)[1])
