from __future__ import annotations

import dataclasses
import itertools
import re
import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from vitatt.data.datasets import DATASETS
from vitatt.data.splits import DEALT, SplitRows, fold_numbers, join_groups, split_rows
from vitatt.types import DataError, FoldSpec

PAD_UFES_20 = DATASETS["pad_ufes_20"]

# scikit-learn's, of the small tables here.
pytestmark = pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")

SPEC = PAD_UFES_20.spec
PARTS = list(itertools.combinations(SplitRows._fields, 2))


def make_cases(seed: int, *, sizes: str = "mixed", total: int = 300) -> pl.DataFrame:
    """Cases in random order, unlike classes, alone, in small groups, or in few large ones."""
    rng = np.random.default_rng(seed)
    groups = {
        "single": np.arange(total),
        "mixed": rng.integers(0, total // 2, total),
        "heavy": rng.geometric(0.08, total),
    }[sizes]
    diagnosis = rng.choice(SPEC.classes, total, p=[0.25, 0.3, 0.1, 0.13, 0.1, 0.12])
    return pl.DataFrame({"group": [f"PAT_{g}" for g in groups], "diagnosis": diagnosis})


def split(
    cases: pl.DataFrame, fold: int = 0, num_folds: int = 5, seed: int = 0, inner_folds: int = 5
) -> SplitRows:
    return split_rows(cases, SPEC, FoldSpec(fold, num_folds, seed, inner_folds))


@pytest.mark.parametrize(
    ("sizes", "seed", "num_folds"), [("single", 0, 5), ("mixed", 1, 2), ("heavy", 2, 5)]
)
def test_every_row_in_one_split_and_no_group_in_two(sizes: str, seed: int, num_folds: int) -> None:
    cases = make_cases(seed, sizes=sizes)
    tested: list[int] = []
    for fold in range(num_folds):
        rows = split(cases, fold, num_folds, seed)
        assert all(len(part) > 0 for part in rows)
        assert sorted(np.concatenate(rows)) == list(range(cases.height))
        groups = {name: set(cases["group"].gather(getattr(rows, name))) for name in rows._fields}
        for one, other in PARTS:
            assert groups[one].isdisjoint(groups[other])
        tested.extend(rows.test)
    assert sorted(tested) == list(range(cases.height))


@pytest.mark.parametrize(("sizes", "slack"), [("single", 2), ("mixed", 8)])
def test_classes_are_spread_evenly(sizes: str, slack: int) -> None:
    cases = make_cases(1, sizes=sizes)
    total = dict(cases["diagnosis"].value_counts().iter_rows())
    for fold in range(5):
        rows = split(cases, fold)
        for part, share in (("test", 1 / 5), ("val", 4 / 25), ("train", 16 / 25)):
            found = cases["diagnosis"].gather(getattr(rows, part))
            for name in SPEC.classes:
                assert abs((found == name).sum() - share * total[name]) <= slack


@pytest.mark.parametrize(("sizes", "total"), [("single", 300), ("mixed", 2000), ("heavy", 150)])
def test_as_even_as_scikit_learns_greedy_folds(sizes: str, total: int) -> None:
    cases = make_cases(2, sizes=sizes, total=total)
    diagnosis, group = (cases[name].to_numpy() for name in ("diagnosis", "group"))
    greedy = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(group, diagnosis, group)
    theirs = [np.unique(diagnosis[held], return_counts=True)[1] for _, held in greedy]
    number = fold_numbers(cases["diagnosis"], cases["group"], 5, 0)
    ours = [np.unique(diagnosis[number == fold], return_counts=True)[1] for fold in range(5)]
    assert np.ptp(ours, axis=0).max() <= np.ptp(theirs, axis=0).max() + 1


def test_the_seed_decides() -> None:
    cases = make_cases(0)
    once, again, other = split(cases, seed=3), split(cases, seed=3), split(cases, seed=4)
    for part in SplitRows._fields:
        assert np.array_equal(getattr(once, part), getattr(again, part))
        assert not np.array_equal(getattr(once, part), getattr(other, part))


@pytest.mark.parametrize("inner_folds", [2, 10])
def test_the_validation_split_is_one_of_the_inner_folds(inner_folds: int) -> None:
    cases = make_cases(0, sizes="single")
    rows = split(cases, inner_folds=inner_folds)
    rest = len(rows.train) + len(rows.val)
    assert abs(len(rows.val) - rest / inner_folds) <= len(SPEC.classes)
    assert np.array_equal(rows.test, split(cases).test)


@pytest.mark.parametrize(("sizes", "inner_folds"), [("single", 2), ("mixed", 5), ("heavy", 5)])
def test_inner_folds_are_disjoint_and_cover_the_training_groups(
    sizes: str, inner_folds: int
) -> None:
    cases = make_cases(0, sizes=sizes)
    groups = cases["group"]
    parts = [
        split_rows(cases, SPEC, FoldSpec(1, 5, 0, inner_folds, inner_fold))
        for inner_fold in range(inner_folds)
    ]
    test = parts[0].test
    for rows in parts:
        assert np.array_equal(rows.test, test), "the outer fold is one and the same"
        assert sorted(np.concatenate(rows)) == list(range(cases.height))
        assert set(groups.gather(rows.train)).isdisjoint(groups.gather(rows.val))
    for one, other in itertools.combinations(parts, 2):
        assert set(groups.gather(one.val)).isdisjoint(groups.gather(other.val))
    every = np.concatenate([rows.val for rows in parts])
    assert sorted([*every, *test]) == list(range(cases.height))
    assert set(groups.gather(every)) == set(groups) - set(groups.gather(test))


def test_the_first_inner_fold_is_the_default() -> None:
    cases = make_cases(0)
    default, first, second = (
        split_rows(cases, SPEC, one)
        for one in (FoldSpec(0, 5, 0), FoldSpec(0, 5, 0, 5, 0), FoldSpec(0, 5, 0, 5, 1))
    )
    assert all(np.array_equal(*pair) for pair in zip(default, first, strict=True))
    assert not np.array_equal(first.val, second.val)


@pytest.mark.parametrize(("inner_fold", "inner_folds"), [(-1, 5), (3, 3)])
def test_an_inner_fold_out_of_range(inner_fold: int, inner_folds: int) -> None:
    message = (
        rf"`data\.inner_fold` to be one of 0 to {inner_folds - 1} "
        rf"\(`data\.inner_folds` is {inner_folds}\), but got {inner_fold}\."
    )
    with pytest.raises(DataError, match=message):
        split_rows(make_cases(0), SPEC, FoldSpec(0, 5, 0, inner_folds, inner_fold))


def test_inner_folds_out_of_range() -> None:
    with pytest.raises(DataError, match=r"`data\.inner_folds` .* least 2, but got 1"):
        split(make_cases(0), inner_folds=1)


@pytest.mark.parametrize(
    ("fold", "num_folds", "message"),
    [
        (5, 5, r"`data\.fold` to be one of 0 to 4 \(`data\.num_folds` is 5\), but got 5"),
        (-1, 5, r"`data\.fold` .* got -1"),
        (0, 1, r"`data\.num_folds` to be at least 2, but got 1"),
        (0, -3, r"`data\.num_folds` .* got -3"),
        (0, 13, "at least 13 patients for 13 folds and 5 inner folds, but found 12"),
    ],
)
def test_folds_that_cannot_be(fold: int, num_folds: int, message: str) -> None:
    cases = pl.DataFrame(
        {"group": [f"P{n % 12}" for n in range(120)], "diagnosis": [*SPEC.classes] * 20}
    )
    with pytest.raises(DataError, match=message):
        split(cases, fold, num_folds)


def test_the_inner_part_needs_groups_too() -> None:
    cases = pl.DataFrame({"group": list("ABCD") * 6, "diagnosis": [*SPEC.classes] * 4})
    with pytest.raises(
        DataError, match="at least 5 patients for 2 folds and 5 inner folds, but found 4"
    ):
        split(cases, num_folds=2)


def test_a_class_without_training_case_is_named() -> None:
    cases = make_cases(0).filter(pl.col("diagnosis") != "MEL")
    melanomas = pl.DataFrame({"group": ["PAT_X"] * 7, "diagnosis": ["MEL"] * 7})
    cases = pl.concat([cases, melanomas])
    fold = next(f for f in range(5) if cases.height - 1 in _rows_elsewhere(cases, f))
    with pytest.raises(DataError, match=rf"Fold {fold} of 5 .*case of MEL \(7 in all\).*patients"):
        split(cases, fold)


def _rows_elsewhere(cases: pl.DataFrame, fold: int) -> set[int]:
    """Rows outside the training split, found with a class that splitting does not ask for."""
    renamed = cases.with_columns(pl.col("diagnosis").replace("MEL", "other"))
    others = tuple(name for name in SPEC.classes if name != "MEL")
    spec = dataclasses.replace(SPEC, classes=others)
    rows = split_rows(renamed, spec, FoldSpec(fold, 5, 0))
    return {*rows.val.tolist(), *rows.test.tolist()}


def test_a_class_that_is_not_there_is_named() -> None:
    cases = make_cases(0).filter(pl.col("diagnosis") != "SEK")
    with pytest.raises(DataError, match=r"no training case of SEK \(0 in all\)"):
        split(cases)


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (4, "The 24 cases of 24 groups, at most 4 of one class, .* 5 stratified folds"),
        (5, "The 24 cases of 24 groups, at most 4 of one class, .* 5 stratified folds"),  # inner
        (7, None),
    ],
)
def test_classes_about_as_large_as_the_number_of_folds(each: int, message: str | None) -> None:
    cases = pl.DataFrame(
        {"group": [f"P{n}" for n in range(6 * each)], "diagnosis": [*SPEC.classes] * each}
    )
    if message:
        with pytest.raises(DataError, match=message):
            split(cases)
    else:
        assert set(cases["diagnosis"].gather(split(cases).train)) == set(SPEC.classes)


class TestFoldNumbers:
    """Tables that cannot be divided are refused before scikit-learn is called."""

    @pytest.mark.parametrize(
        ("group", "diagnosis", "folds"),
        [
            ("abc", "XYZ", 3),  # as many groups as folds, but a case per class
            ("aabbc", "XXXXY", 4),
            ("aaaabbbb", "XXXXYYYY", 3),
            ("abcd", "XXXY", 3),
            ("abc", "XXX", 3),
            ("aabbccdd", "XYXYXYXY", 4),
            ("abcdefghijkl", "XYXYXYXYXYXY", 3),  # dealt but for the rest
            ("abcdefghijklm", "XXXXXXXXXXXXY", 2),
        ],
    )
    def test_raises_where_scikit_learn_would(self, group: str, diagnosis: str, folds: int) -> None:
        owner, label = np.array([*group]), np.array([*diagnosis])
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        few_groups = len({*group}) < folds  # newer versions of scikit-learn raise for these
        few_cases = max(map(diagnosis.count, diagnosis)) < folds
        if few_cases:
            with pytest.raises(ValueError, match="n_splits"):
                list(splitter.split(owner, label, owner))
        else:
            assert few_groups or len(list(splitter.split(owner, label, owner))) == folds
        if few_groups or few_cases:
            with pytest.raises(DataError, match=f"cannot be split into {folds} stratified folds"):
                fold_numbers(pl.Series(label), pl.Series(owner), folds, 0)
        else:
            number = fold_numbers(pl.Series(label), pl.Series(owner), folds, 0)
            assert set(number) == set(range(folds))

    def test_another_error_is_not_taken_for_the_users(self, monkeypatch) -> None:
        def broken(*arguments: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(StratifiedGroupKFold, "split", broken)
        cases = make_cases(0)
        with pytest.raises(ValueError, match=r"^a bug$") as error:
            split(cases)
        assert not isinstance(error.value, DataError)


def test_joined_groups_are_those_of_union_find() -> None:
    for seed in range(20):
        check_joined_groups(np.random.default_rng(seed))


def check_joined_groups(rng: np.random.Generator) -> None:
    count = int(rng.integers(1, 60))
    group = pl.Series("group", [f"g{n}" for n in rng.integers(0, 25, count)])
    content = pl.Series([f"c{n}" for n in rng.integers(0, 60, count)])

    parent = {name: name for name in group}

    def find(name: str) -> str:
        return name if parent[name] == name else find(parent[name])

    for (one, image), (other, twin) in itertools.combinations(zip(group, content, strict=True), 2):
        if image == twin:
            parent[find(one)] = find(other)
    expected = [find(name) for name in group]

    joined = join_groups(group, content)
    assert joined.name == "group"
    assert joined.len() == count
    for row, other in itertools.combinations(range(count), 2):
        assert (joined[row] == joined[other]) == (expected[row] == expected[other])
    assert all(find(name) == root for name, root in zip(joined, expected, strict=True))


def test_groups_stay_as_they_are_without_twins() -> None:
    group = pl.Series(["b", "a", "b", "c"])
    assert join_groups(group, pl.Series(list("wxyz"))).to_list() == ["b", "a", "b", "c"]


def test_a_chain_of_twins_joins_all() -> None:
    group, content = pl.Series(list("abbccd")), pl.Series(list("112234"))
    assert join_groups(group, content).to_list() == ["a", "a", "a", "a", "a", "d"]


@pytest.mark.parametrize("sizes", ["single", "mixed"])
def test_joined_groups_move_no_other_case(sizes: str) -> None:
    """Each goes where the group goes whose name it has."""
    cases = make_cases(0, sizes=sizes)
    names = cases["group"].unique().sort().to_list()
    joined = {names[9]: names[2], names[40]: names[2], names[70]: names[33]}
    after = cases.with_columns(
        pl.col("group").replace(joined), pl.col("group").alias(DEALT), pl.lit(0).alias("other")
    )
    for fold in range(5):
        before, now = split(cases, fold), split(after, fold)
        for one, other in zip(before, now, strict=True):
            kept = set(np.flatnonzero(~cases["group"].is_in(list(joined))))
            assert kept & set(one) == kept & set(other)
        part_of = {
            name: part
            for part, rows in enumerate(before)
            for name in cases["group"].gather(rows).unique()
        }
        for part, rows in enumerate(now):
            own = set(cases["group"].gather(rows))
            assert all(part_of[joined.get(name, name)] == part for name in own)
            assert own.isdisjoint(joined) or {joined[name] for name in own & set(joined)} <= own


ADVICE = re.compile(r"`data\.(num_folds|inner_folds) (\d+)`")


def refused(cases: pl.DataFrame, one: FoldSpec) -> str:
    with pytest.raises(DataError) as error:
        split_rows(cases, SPEC, one)
    return str(error.value)


def add_groups(
    cases: pl.DataFrame, classes: list[str], count: int, prefix: str = "NEW_"
) -> pl.DataFrame:
    names = [f"{prefix}{n}" for n in range(count * len(classes))]
    return pl.concat([cases, pl.DataFrame({"group": names, "diagnosis": classes * count})])


class TestAdvice:
    """What an error advises is tried, as a reader would."""

    def follow(self, cases: pl.DataFrame, one: FoldSpec, said: str) -> SplitRows:
        changes = {name: int(number) for name, number in ADVICE.findall(said)}
        assert changes, said
        assert all(getattr(one, name) != number for name, number in changes.items())
        assert said.endswith("` would do.")
        rows = split_rows(cases, SPEC, dataclasses.replace(one, **changes))
        assert set(cases["diagnosis"].gather(rows.train)) == set(SPEC.classes)
        assert all(len(part) for part in rows)
        return rows

    @pytest.mark.parametrize(("total", "seeds"), [(24, (0, 9)), (30, (0, 4)), (36, (0,))])
    def test_works_on_small_data(self, total: int, seeds: tuple[int, ...]) -> None:
        outcomes = set()
        for seed, fold in itertools.product(seeds, range(5)):
            cases, one = make_cases(seed, total=total), FoldSpec(fold, 5, seed)
            try:
                split_rows(cases, SPEC, one)
            except DataError as error:
                said = str(error)
                if ADVICE.search(said.replace("No `data.num_folds` or `data.inner_folds`", "")):
                    self.follow(cases, one, said)
                    outcomes.add("advice")
                else:
                    assert "would do: add cases of" in said
                    outcomes.add("groups")
            else:
                outcomes.add("works")
        assert {"advice", "works"} <= outcomes

    def test_names_inner_folds_where_they_are_to_blame(self) -> None:
        for seed in (4, 21, 35):
            cases, one = make_cases(seed, total=30), FoldSpec(0, 5, seed)
            assert split_outer(cases, one) == set(SPEC.classes), "the outer folds are not"
            assert ADVICE.findall(refused(cases, one))[0][0] == "inner_folds"

    @pytest.mark.parametrize(("num_folds", "inner_folds"), [(13, 5), (2, 13)])
    def test_for_too_few_groups(self, num_folds: int, inner_folds: int) -> None:
        cases = pl.DataFrame(
            {"group": [f"P{n % 12}" for n in range(120)], "diagnosis": np.repeat(SPEC.classes, 20)}
        )
        one = FoldSpec(0, num_folds, 0, inner_folds)
        said = refused(cases, one)
        assert said.startswith("Expected at least 13 patients for ")
        self.follow(cases, one, said)

    def test_for_classes_of_too_few_cases(self) -> None:
        cases = pl.DataFrame(
            {"group": [f"P{n}" for n in range(18)], "diagnosis": [*SPEC.classes] * 3}
        )
        one = FoldSpec(0, 10, 0, 2)
        said = refused(cases, one)
        assert "cannot be split into 10 stratified folds" in said
        self.follow(cases, one, said)

    @pytest.mark.parametrize(("lacking", "fold"), [(["MEL"], 0), (["MEL", "SEK"], 3)])
    def test_for_a_class_without_cases(self, lacking: list[str], fold: int) -> None:
        cases = make_cases(0).filter(~pl.col("diagnosis").is_in(lacking))
        one = FoldSpec(fold, 5, 0)
        said = refused(cases, one)
        counts = ", ".join(f"{name} \\(0 in all\\)" for name in lacking)
        assert re.match(rf"Fold {fold} of 5 has no training case of {counts}\. ", said)
        assert "No `data.num_folds` or `data.inner_folds` up to 20 would do" in said
        added = re.search(r"add cases of (.*), from at least (\d+) more patients\.$", said)
        assert added, said
        assert added[1] == " and ".join(lacking)
        assert int(added[2]) == 3
        for prefix in ("A", "PAT_9", "zzz"):  # sorted before, among and after the others
            split_rows(add_groups(cases, lacking, 3, prefix), SPEC, one)

    def test_does_not_warn_of_what_was_tried(self) -> None:
        cases = make_cases(0).filter(pl.col("diagnosis") != "MEL")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            refused(cases, FoldSpec(0, 5, 0))

    def test_no_part_is_empty(self) -> None:
        spec = dataclasses.replace(SPEC, classes=("ACK", "BCC"))
        cases = pl.DataFrame({"group": [*"ABCDE"] * 8, "diagnosis": ["ACK", "BCC"] * 20})
        message = (
            r"32 cases of 4 groups, at most 16 of one class, .* 5 strat.*`data\.inner_folds 4`"
        )
        for fold in range(5):
            with pytest.raises(DataError, match=message):
                split_rows(cases, spec, FoldSpec(fold, 5, 0))
            assert all(len(part) for part in split_rows(cases, spec, FoldSpec(fold, 5, 0, 4)))


def split_outer(cases: pl.DataFrame, one: FoldSpec) -> set[str]:
    """Classes outside the test split."""
    number = fold_numbers(cases["diagnosis"], cases["group"], one.num_folds, one.seed)
    return set(cases["diagnosis"].filter(pl.Series(number != one.fold)))
