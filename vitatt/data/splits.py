"""Stratified folds that keep all images of a patient or lesion in one split."""

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
from vitatt.types import DataError, FoldSpec, class_index

DEALT = "dealt_group"
"""Column of the groups before some were joined; a joined group has the name of one of them."""


class SplitRows(NamedTuple):
    """Row numbers of the three splits; each row, and each group as a whole, is in one of them."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split_rows(cases: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec) -> SplitRows:
    """Return the rows of the training, validation and test split of a fold.

    The outer fold is the test split, used once, at the end. The inner fold is the validation split,
    used for early stopping and for all choices.

    Folds are dealt by `DEALT`, if there is that column. Then each group as a whole goes where the
    part of that name went, so that a few joined groups do not move the cases of all others.

    Args:
        cases: Rows with ``group`` and ``diagnosis``.
        spec: The dataset, with its classes.
        fold_spec: Which fold of how many, shuffled with which seed.

    Raises:
        DataError: If the fold does not exist, there are too few groups, a split is empty, or a
            class has no case in the training split. The message names other numbers of folds that
            work, if there are any.
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
    """Return the groups of cases, merged where they share an image.

    Splits that keep these groups whole cannot have one image in two splits.

    Args:
        group: Published group of each case, (N,).
        content: Digest of each case's image, (N,).

    Returns:
        Group of each case, (N,); a merged group has the name of one of its members.
    """
    twins = pl.DataFrame({"group": group, "content": content}).filter(content.is_duplicated())
    if twins.is_empty():
        return group
    owner, image = _number(twins["group"]), _number(twins["content"])
    # A graph of groups and images with an edge for each case; its components are merged groups.
    size = int(owner.max()) + int(image.max()) + 2
    edges = coo_array((np.ones(len(owner)), (owner, owner.max() + 1 + image)), shape=(size, size))
    component = pl.Series("component", connected_components(edges, directed=False)[1][owner])
    joined = twins.select("group", pl.col("group").min().over(component).alias("joined")).unique()
    return group.replace(joined["group"], joined["joined"])


def fold_numbers(
    diagnosis: pl.Series, group: pl.Series, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each case, with whole groups and every class spread evenly.

    Groups that have the same number of cases of each class are of one kind. Most groups of a kind
    are dealt to the folds in turn, in near-linear time. The others, fewer than two for each kind
    and fold, are placed by scikit-learn's greedy `StratifiedGroupKFold`, which would be too slow
    for millions of groups.

    Args:
        diagnosis: Class of each case, (N,).
        group: Group of each case, (N,).
        folds: Number of folds.
        seed: Seed of the shuffling of groups.

    Returns:
        0 to ``folds - 1`` for each case, (N,).

    Raises:
        DataError: If there are fewer groups than folds, or each class has fewer cases than folds.
    """
    label, owner = _number(diagnosis), _number(group)
    groups, classes = int(owner.max()) + 1, int(label.max()) + 1
    counts = np.bincount(owner * classes + label, minlength=groups * classes)
    counts = counts.reshape(groups, classes)
    largest = counts.sum(axis=0).max()
    if groups < folds or largest < folds:
        raise DataError(
            f"The {len(diagnosis)} cases of {groups} groups, at most {largest} of one class, "
            f"cannot be split into {folds} stratified folds."
        )
    kind = _number(pl.DataFrame(counts).to_struct())
    size = np.bincount(kind)
    shuffled = np.random.default_rng(seed).permutation(groups)
    by_kind = shuffled[np.argsort(kind[shuffled], kind="stable")]
    rank = np.empty(groups, np.int64)  # of each group within its kind
    rank[by_kind] = np.arange(groups) - np.repeat(np.cumsum(size) - size, size)
    # The last full round of a kind is not dealt. Thereby the rest, like the whole table, meets the
    # condition above, without which `StratifiedGroupKFold` would raise an error.
    dealt = rank < folds * np.maximum(size // folds - 1, 0)[kind]
    number = np.where(dealt, rank % folds, -1)[owner]
    rest = np.flatnonzero(number < 0)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for index, (_, placed) in enumerate(splitter.split(rest, label[rest], owner[rest])):
        number[rest[placed]] = index
    return number


_TRAIN, _VAL, _TEST = range(3)


class _IndivisibleError(Exception):
    """A split that cannot be made.

    Attributes:
        inner: Whether the inner folds are the cause, and not the outer ones.
        absent: Classes without a training case, if these are the reason.
    """

    def __init__(self, why: str, *, inner: bool, absent: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.inner = inner
        self.absent = absent


def _numbered(cases: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return the diagnoses, and ``class`` and groups as numbers, which sort faster than names.

    Classes are numbered in the order of all their names, including those without a case.
    """
    names = _class_names(cases["diagnosis"], spec)
    numbers = class_index(names)
    dealt = cases[DEALT if DEALT in cases.columns else "group"]
    number = dealt.rank("dense").cast(pl.Int64)
    known = pl.DataFrame({"name": dealt, "number": number}).unique("name")
    group = cases["group"].replace_strict(known["name"], known["number"])
    return pl.DataFrame(
        {
            "diagnosis": cases["diagnosis"],
            "class": cases["diagnosis"].replace_strict(numbers, return_dtype=pl.Int64),
            "group": group.alias("group"),
            DEALT: number.alias(DEALT),
        }
    )


def _class_names(diagnosis: pl.Series, spec: DatasetSpec) -> list[str]:
    return sorted({*spec.classes, *diagnosis.unique()})


def _divide(table: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec) -> SplitRows:
    """Return the rows of the three splits.

    Raises:
        _IndivisibleError: If there are too few groups, a split would be empty, or a class would
            have no training case.
    """
    folds, inner_folds = fold_spec.num_folds, fold_spec.inner_folds
    needed = max(folds, inner_folds)
    if (found := table["group"].n_unique()) < needed:
        raise _IndivisibleError(
            f"Expected at least {needed} {spec.group}s for {folds} folds and {inner_folds} inner "
            f"folds, but found {found}.",
            inner=inner_folds > folds,
        )
    test = _fold(table, folds, fold_spec.seed, inner=False) == fold_spec.fold
    rest = np.flatnonzero(~test)
    inner = _fold(table[rest], inner_folds, fold_spec.seed, inner=True)
    split = np.where(test, _TEST, _TRAIN)
    split[rest[inner == fold_spec.inner_fold]] = _VAL
    # A joined group goes where the group went whose name it has.
    of_group = np.empty(int(table[DEALT].max()) + 1, np.int64)  # type: ignore[arg-type]
    of_group[table[DEALT]] = split
    split = of_group[table["group"]]
    rows = SplitRows(*(np.flatnonzero(split == one) for one in (_TRAIN, _VAL, _TEST)))
    for name, part in (("test", rows.test), ("validation", rows.val), ("training", rows.train)):
        if not len(part):
            raise _IndivisibleError(
                f"Fold {fold_spec.fold} of {folds} has no {name} case.", inner=name != "test"
            )
    trained = set(table["diagnosis"].gather(rows.train).unique())
    if absent := tuple(name for name in spec.classes if name not in trained):
        counts = {name: int((table["diagnosis"] == name).sum()) for name in absent}
        outside = set(table["diagnosis"].gather(np.flatnonzero(split != _TEST)).unique())
        raise _IndivisibleError(
            f"Fold {fold_spec.fold} of {folds} has no training case of "
            f"{', '.join(f'{name} ({n} in all)' for name, n in counts.items())}. A class needs "
            f"cases from several {spec.group}s.",
            inner=set(absent) <= outside,
            absent=absent,
        )
    return rows


def _fold(table: pl.DataFrame, folds: int, seed: int, *, inner: bool) -> NDArray[np.int64]:
    """Return the fold of each row."""
    try:
        return fold_numbers(table["class"], table[DEALT], folds, seed)
    except DataError as error:
        raise _IndivisibleError(str(error), inner=inner) from error


def _explain(
    error: _IndivisibleError, table: pl.DataFrame, spec: DatasetSpec, fold_spec: FoldSpec
) -> str:
    """Return why a split cannot be made, and which folds or additional groups would allow it."""
    lacking = error.absent or spec.classes
    hopeless = not set(error.absent) <= set(table["diagnosis"].unique())

    def works(other: FoldSpec, more: int) -> bool:
        if hopeless and not more:
            return False  # no number of folds helps a class without cases
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, about splits that are only tried
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
        least=max(1, len(SplitRows._fields) - fewest),  # a group for each split
    )
    return f"{error} {advice}"


def _with_more(
    table: pl.DataFrame, classes: tuple[str, ...], groups: int, spec: DatasetSpec
) -> pl.DataFrame:
    """Return the table with a number of further groups, of one case each, for each class."""
    if not groups:
        return table
    names = _class_names(table["diagnosis"], spec)
    first = int(table[DEALT].max() or 0) + 1  # type: ignore[arg-type]
    added = pl.DataFrame({"diagnosis": list(classes) * groups}).with_columns(
        pl.Series("class", [names.index(name) for name in classes] * groups, dtype=pl.Int64),
        pl.Series("group", range(first, first + len(classes) * groups), dtype=pl.Int64),
        pl.Series(DEALT, range(first, first + len(classes) * groups), dtype=pl.Int64),
    )
    return pl.concat([table, added])


def _number(values: pl.Series) -> NDArray[np.int64]:
    """Return the number of each value in the sorted order of distinct values, from 0, (N,)."""
    return values.rank("dense").to_numpy().astype(np.int64) - 1
