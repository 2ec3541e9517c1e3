"""Stratified folds that keep a patient's or a lesion's images together."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.split_advice import advise
from vitatt.types import DataError, FoldSpec


class SplitRows(NamedTuple):
    """Row numbers of the three parts: all rows are in one, and no group is in two."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split_rows(cases: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec) -> SplitRows:
    """Outer test fold, inner validation split and training split of a table.

    The outer fold is looked at once, at the end; early stopping and choices use the inner part.

    Args:
        cases: Rows with ``group`` and ``diagnosis``.
        spec: The dataset, for its classes.
        fold_spec: Which fold, of how many, shuffled with which seed.

    Raises:
        DataError: If the fold does not exist, there are too few groups, a part is empty, or a
            class has no case in the training split. The message says which other numbers of folds
            would do, if any would.
    """
    if fold_spec.num_folds < 2:
        raise DataError(
            f"Expected `data.num_folds` to be at least 2, but got {fold_spec.num_folds}."
        )
    if not 0 <= fold_spec.fold < fold_spec.num_folds:
        raise DataError(
            f"Expected `data.fold` to be one of 0 to {fold_spec.num_folds - 1} "
            f"(`data.num_folds` is {fold_spec.num_folds}), but got {fold_spec.fold}."
        )
    if fold_spec.inner_folds < 2:
        raise DataError(
            f"Expected `data.inner_folds` to be at least 2, but got {fold_spec.inner_folds}."
        )
    if not 0 <= fold_spec.inner_fold < fold_spec.inner_folds:
        raise DataError(
            f"Expected `data.inner_fold` to be one of 0 to {fold_spec.inner_folds - 1} "
            f"(`data.inner_folds` is {fold_spec.inner_folds}), but got {fold_spec.inner_fold}."
        )
    table = _numbered(cases, spec)
    try:
        return _divide(table, spec, fold_spec)
    except _IndivisibleError as error:
        raise DataError(_explain(error, table, spec, fold_spec)) from error


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
        DataError: If there are fewer groups than folds, or each class has fewer cases than folds.
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
            f"The {len(diagnosis)} cases of {shape[0]} groups, at most {held.sum(axis=0).max()} of "
            f"one class, cannot be split into {folds} stratified folds."
        ) from error
    return number


class _IndivisibleError(Exception):
    """A split that cannot be made: why, whether inner folds are to blame, and without whom."""

    def __init__(self, why: str, *, inner: bool, absent: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.inner = inner
        self.absent = absent


def _numbered(cases: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Columns ``class`` and ``group`` as numbers in the order of their names: they sort faster.

    A class's number is its place among all names, so that it has one even without a case.
    """
    names = _class_names(cases["diagnosis"], spec)
    numbers = {name: number for number, name in enumerate(names)}
    return pl.DataFrame(
        {
            "diagnosis": cases["diagnosis"],
            "class": cases["diagnosis"].replace_strict(numbers, return_dtype=pl.Int64),
            "group": cases["group"].rank("dense").cast(pl.Int64),
        }
    )


def _class_names(diagnosis: pl.Series, spec: DatasetSpec) -> list[str]:
    return sorted({*spec.classes, *diagnosis.unique()})


def _divide(table: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec) -> SplitRows:
    """The rows of the parts.

    Raises:
        _IndivisibleError: If a part would be empty, or a class without training case.
    """
    folds, inner_folds = fold_spec.num_folds, fold_spec.inner_folds
    needed = max(folds, inner_folds)
    if (found := table["group"].n_unique()) < needed:
        raise _IndivisibleError(
            f"Expected at least {needed} {spec.group}s for {folds} folds and {inner_folds} inner "
            f"folds, but found {found}.",
            inner=inner_folds > folds,
        )
    rest, test = _fold(table, folds, fold_spec.seed, fold_spec.fold, inner=False)
    training, val = _fold(
        table[rest], inner_folds, fold_spec.seed, fold_spec.inner_fold, inner=True
    )
    rows = SplitRows(train=rest[training], val=rest[val], test=test)
    for name, part in (("test", rows.test), ("validation", rows.val), ("training", rows.train)):
        if not len(part):
            raise _IndivisibleError(
                f"Fold {fold_spec.fold} of {folds} has no {name} case.", inner=name != "test"
            )
    trained = set(table["diagnosis"].gather(rows.train).unique())
    if absent := tuple(name for name in spec.classes if name not in trained):
        counts = {name: int((table["diagnosis"] == name).sum()) for name in absent}
        outside = set(table["diagnosis"].gather(rest).unique())
        raise _IndivisibleError(
            f"Fold {fold_spec.fold} of {folds} has no training case of "
            f"{', '.join(f'{name} ({n} in all)' for name, n in counts.items())}. A class needs "
            f"cases from several {spec.group}s.",
            inner=set(absent) <= outside,
            absent=absent,
        )
    return rows


def _fold(
    table: pl.DataFrame, folds: int, seed: int, index: int, *, inner: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows outside and inside of a fold."""
    try:
        number = fold_numbers(table["class"], table["group"], folds, seed)
    except DataError as error:
        raise _IndivisibleError(str(error), inner=inner) from error
    return np.flatnonzero(number != index), np.flatnonzero(number == index)


def _explain(
    error: _IndivisibleError, table: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec
) -> str:
    """Why a split cannot be made, and what would do."""
    lacking = error.absent or spec.classes
    hopeless = not set(error.absent) <= set(table["diagnosis"].unique())

    def works(other: FoldSpec, more: int) -> bool:
        if hopeless and not more:
            return False  # no number of folds brings a class that is not there
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of splits that nobody asked for
            try:
                _divide(_with_more(table, lacking, more, spec), spec, other)
            except _IndivisibleError:
                return False
        return True

    if not error.absent:
        advice = advise(works, fold_spec, inner=error.inner, whose="each class", group=spec.group)
        return f"{error} {advice}"
    owned = table.filter(pl.col("diagnosis").is_in(list(error.absent)))
    groups = dict(owned.group_by("diagnosis").agg(pl.col("group").n_unique()).iter_rows())
    fewest = min(groups.get(name, 0) for name in error.absent)
    advice = advise(
        works,
        fold_spec,
        inner=error.inner,
        whose=" and ".join(error.absent),
        group=spec.group,
        least=max(1, len(SplitRows._fields) - fewest),  # one for each part
    )
    return f"{error} {advice}"


def _with_more(
    table: pl.DataFrame, classes: tuple[str, ...], groups: int, spec: DatasetSpec
) -> pl.DataFrame:
    """The table with further groups of one case each for each of these classes."""
    if not groups:
        return table
    names = _class_names(table["diagnosis"], spec)
    first = int(table["group"].cast(pl.Int64).max() or 0) + 1  # type: ignore[arg-type]
    added = pl.DataFrame({"diagnosis": list(classes) * groups}).with_columns(
        pl.Series("class", [names.index(name) for name in classes] * groups, dtype=pl.Int64),
        pl.Series("group", range(first, first + len(classes) * groups), dtype=pl.Int64),
    )
    return pl.concat([table, added])


def _number(values: pl.Series) -> NDArray[np.int64]:
    """Number of each value in their sorted order, from 0, (N,)."""
    return values.rank("dense").to_numpy().astype(np.int64) - 1
