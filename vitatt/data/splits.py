"""Stratified folds that keep a patient's or a lesion's images together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from vitatt.data.schema import DataError, DatasetSpec
from vitatt.types import Split


class SplitRows(NamedTuple):
    """Row numbers of the three parts: all rows are in one, and no group is in two."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split_rows(cases: pl.DataFrame, spec: DatasetSpec, split: Split) -> SplitRows:
    """Outer test fold, inner validation part and training part of a table.

    The outer fold is looked at once, at the end; early stopping and choices use the inner part.

    Args:
        cases: Rows with ``group`` and ``diagnosis``.
        spec: The dataset, for its classes.
        split: Which fold, of how many, shuffled with which seed.

    Raises:
        DataError: If the fold does not exist, there are too few groups, or a class has no case in
            the training part.
    """
    if split.num_folds < 2:
        raise DataError(f"Expected `data.num_folds` to be at least 2, but got {split.num_folds}.")
    if not 0 <= split.fold < split.num_folds:
        raise DataError(
            f"Expected `data.fold` to be one of 0 to {split.num_folds - 1} "
            f"(`data.num_folds` is {split.num_folds}), but got {split.fold}."
        )
    if split.inner_folds < 2:
        raise DataError(
            f"Expected `data.inner_folds` to be at least 2, but got {split.inner_folds}."
        )
    if not 0 <= split.inner_fold < split.inner_folds:
        raise DataError(
            f"Expected `data.inner_fold` to be one of 0 to {split.inner_folds - 1} "
            f"(`data.inner_folds` is {split.inner_folds}), but got {split.inner_fold}."
        )
    # As numbers, which sort faster than names.
    diagnosis, group = cases["diagnosis"].rank("dense"), cases["group"].rank("dense")
    needed = max(split.num_folds, split.inner_folds)
    if (found := group.n_unique()) < needed:
        raise DataError(
            f"Expected at least {needed} {spec.group}s for {split.num_folds} folds, but found "
            f"{found}."
        )
    rest, test = _fold(diagnosis, group, split.num_folds, split.seed, split.fold)
    inner = _fold(diagnosis[rest], group[rest], split.inner_folds, split.seed, split.inner_fold)
    rows = SplitRows(train=rest[inner[0]], val=rest[inner[1]], test=test)
    trained = set(cases["diagnosis"].gather(rows.train).unique())
    if absent := [name for name in spec.classes if name not in trained]:
        counts = {name: int((cases["diagnosis"] == name).sum()) for name in absent}
        raise DataError(
            f"Fold {split.fold} of {split.num_folds} has no training case of "
            f"{', '.join(f'{name} ({n} in all)' for name, n in counts.items())}. A class needs "
            f"cases from several {spec.group}s: add data, or change `data.num_folds`."
        )
    return rows


def join_groups(group: pl.Series, content: pl.Series) -> pl.Series:
    """Groups made one where they share an image, so that no image can be in two parts.

    Args:
        group: Published group of each case, (N,).
        content: Digest of each case's image, (N,).

    Returns:
        For each case, one of the names of its joined groups, (N,).
    """
    twins = pl.DataFrame({"group": group, "content": content}).filter(content.is_duplicated())
    if twins.is_empty():
        return group
    owner, image = _number(twins["group"]), _number(twins["content"])
    # Groups and images are the nodes of one graph, with a line for each case.
    size = int(owner.max()) + int(image.max()) + 2
    lines = coo_array((np.ones(len(owner)), (owner, owner.max() + 1 + image)), shape=(size, size))
    component = pl.Series("component", connected_components(lines, directed=False)[1][owner])
    joined = twins.select("group", pl.col("group").min().over(component).alias("joined")).unique()
    return group.replace(joined["group"], joined["joined"])


def fold_numbers(
    diagnosis: pl.Series, group: pl.Series, folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each case: groups whole, every class spread evenly, near-linear in the cases.

    Groups alike in what they hold are dealt to all folds in equal numbers; those left over, fewer
    than two rounds of each kind, are placed by scikit-learn's greedy `StratifiedGroupKFold`, whose
    effort for each group would be too much for millions.

    Args:
        diagnosis: Class of each case, (N,).
        group: Group of each case, (N,).
        folds: Number of folds.
        seed: Decides which groups go where.

    Returns:
        0 to ``folds - 1`` for each case, (N,).

    Raises:
        DataError: If no class has so many cases.
    """
    label, owner = _number(diagnosis), _number(group)
    shape = (int(owner.max()) + 1, int(label.max()) + 1)
    held = np.bincount(owner * shape[1] + label, minlength=shape[0] * shape[1]).reshape(shape)
    kind = _number(pl.DataFrame(held).to_struct())
    size = np.bincount(kind)
    shuffled = np.random.default_rng(seed).permutation(shape[0])
    by_kind = shuffled[np.argsort(kind[shuffled], kind="stable")]
    place = np.empty(shape[0], np.int64)  # of a group among those of its kind
    place[by_kind] = np.arange(shape[0]) - np.repeat(np.cumsum(size) - size, size)
    # One round less than there are, so that no class is left with fewer cases than folds.
    dealt = place < folds * np.maximum(size // folds - 1, 0)[kind]
    number = np.where(dealt, place % folds, -1)[owner]
    rest = np.flatnonzero(number < 0)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    try:
        for index, (_, placed) in enumerate(splitter.split(rest, label[rest], owner[rest])):
            number[rest[placed]] = index
    except ValueError as error:
        raise DataError(
            f"The {len(diagnosis)} cases cannot be split into {folds} stratified folds: {error} "
            "Add data, or change `data.num_folds`."
        ) from error
    return number


def _fold(
    diagnosis: pl.Series, group: pl.Series, folds: int, seed: int, index: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows outside and inside of a fold."""
    number = fold_numbers(diagnosis, group, folds, seed)
    return np.flatnonzero(number != index), np.flatnonzero(number == index)


def _number(values: pl.Series) -> NDArray[np.int64]:
    """Number of each value in their sorted order, from 0, (N,)."""
    return values.rank("dense").to_numpy().astype(np.int64) - 1
