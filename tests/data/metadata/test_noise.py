"""Noise on metadata against loops over cases, and against the chances it is said to have."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare, kstest

from vitatt.data.metadata.noise import NOISE, add_noise, flip, jitter, swap
from vitatt.types import DataError, FeatureEncoding

AGE = FeatureEncoding("age", "age", "numeric", "years", centres=(20.0, 50.0, 80.0))
REGION = FeatureEncoding("region", "region", "categorical", categories=("ARM", "EAR", "FACE"))
ITCH = FeatureEncoding("itch", "itch", "categorical", categories=("False", "True"))
FEATURES = (AGE, REGION, ITCH)
NAMES = ["age", "region", "itch"]
ROWS = 3000


@pytest.fixture(scope="module")
def cases() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "case_id": [f"case_{n}" for n in range(ROWS)],
            "group": [f"patient_{n}" for n in rng.integers(0, ROWS // 3, ROWS)],
            "age": rng.normal(60, 15, ROWS),
            "region": rng.choice(REGION.categories, ROWS),
            "itch": rng.choice(ITCH.categories, ROWS),
        }
    )
    gap = pl.Series(rng.random(ROWS) < 0.2)
    return frame.with_columns(pl.when(gap).then(None).otherwise(pl.col("age", "itch")).name.keep())


def differs(one: pl.DataFrame, other: pl.DataFrame, name: str) -> np.ndarray:
    return (one[name].ne_missing(other[name])).to_numpy()


def test_jitter_is_normal_noise_on_numbers(cases):
    changed = jitter(cases, FEATURES, {"age": 15.0}, share=0.5, seed=1)
    noise = (changed["age"] - cases["age"]).drop_nulls().to_numpy()
    assert kstest(noise / 7.5, "norm").pvalue > 0.01
    assert changed.drop("age").equals(cases.drop("age"))
    assert changed["age"].is_null().equals(cases["age"].is_null())
    twice = jitter(cases, FEATURES, {"age": 15.0}, share=1.0, seed=1)
    np.testing.assert_allclose((twice["age"] - cases["age"]).drop_nulls(), 2 * noise, atol=1e-9)


def test_flip_takes_any_other_category(cases):
    changed = flip(cases, FEATURES, probability=0.3, seed=1)
    assert changed.drop("region", "itch").equals(cases.drop("region", "itch"))
    for feature in (REGION, ITCH):
        observed = cases[feature.name].is_not_null().to_numpy()
        flipped = differs(cases, changed, feature.name)
        assert not flipped[~observed].any()
        assert flipped[observed].mean() == pytest.approx(0.3, abs=0.03)
    pairs = pl.DataFrame({"old": cases["region"], "new": changed["region"]})
    counts = pairs.filter(pl.col("old") != pl.col("new")).group_by("old", "new").len()
    assert counts.height == 6
    assert chisquare(counts["len"].to_numpy()).pvalue > 0.01


def test_what_counts_as_missing_is_not_flipped():
    cases = pl.DataFrame({"region": ["SCALP", None, "ARM"] * 200})
    changed = flip(cases, [REGION], probability=1.0, seed=0)["region"].to_list()
    assert changed[0::3] == ["SCALP"] * 200
    assert changed[1::3] == [None] * 200
    assert set(changed[2::3]) == {"EAR", "FACE"}


def test_swapped_records_are_whole_and_of_another_group(cases):
    assert swap(cases, FEATURES, probability=0.0, seed=1).equals(cases)
    changed = swap(cases, FEATURES, probability=1.0, seed=1)
    groups_of: dict[tuple, set[str]] = {}
    for row in cases.iter_rows(named=True):
        groups_of.setdefault(tuple(row[name] for name in NAMES), set()).add(row["group"])
    for row in changed.iter_rows(named=True):
        donors = groups_of[tuple(row[name] for name in NAMES)]
        assert donors - {row["group"]}
    assert changed["case_id"].equals(cases["case_id"])
    some = swap(cases, FEATURES, probability=0.4, seed=1)
    same = (~differs(cases, some, "region") & ~differs(cases, some, "age")).mean()
    # Those not swapped, and swaps between two gaps in the same region.
    assert same == pytest.approx(0.6 + 0.4 * 0.2**2 / 3, abs=0.03)


def test_every_case_of_another_group_is_as_likely():
    cases = pl.DataFrame({"group": ["a", "b", "a", "b", "c"], "age": [0.0, 1.0, 2.0, 3.0, 4.0]})
    counts = np.zeros((5, 5))
    for seed in range(600):
        for row, donor in enumerate(swap(cases, [AGE], probability=1.0, seed=seed)["age"]):
            counts[row, int(donor)] += 1
    groups = cases["group"].to_list()
    for row in range(5):
        allowed = [n for n in range(5) if groups[n] != groups[row]]
        assert counts[row].sum() == counts[row, allowed].sum()
        assert chisquare(counts[row, allowed]).pvalue > 0.001


def test_one_group_has_nobody_to_swap_with():
    cases = pl.DataFrame({"group": ["a", "a"], "age": [1.0, 2.0]})
    with pytest.raises(DataError, match="at least 2 groups"):
        swap(cases, [AGE], probability=1.0, seed=0)


@pytest.mark.parametrize("noise", NOISE)
def test_a_stronger_noise_changes_the_same_values_and_more(cases, noise):
    changed = [
        add_noise(cases, FEATURES, {"age": 15.0}, noise, strength, seed=2) for strength in (2, 4)
    ]
    for name in NAMES:
        weaker, stronger = (differs(cases, one, name) for one in changed)
        assert not (weaker & ~stronger).any()
    assert not changed[0].equals(changed[1])


def test_all_noises_one_on_the_other(cases):
    level = {name: levels[2] for name, levels in NOISE.items()}
    expected = swap(cases, FEATURES, probability=level["swap"], seed=5)
    expected = flip(expected, FEATURES, probability=level["flip"], seed=5)
    expected = jitter(expected, FEATURES, {"age": 9.0}, share=level["jitter"], seed=5)
    assert add_noise(cases, FEATURES, {"age": 9.0}, "all", 3, seed=5).equals(expected)


@pytest.mark.parametrize("noise", ["jitter", "flip"])
def test_a_feature_changes_alike_whatever_the_others_are(cases, noise):
    alone = add_noise(cases, [AGE, ITCH], {"age": 15.0}, noise, 3, seed=2)
    together = add_noise(cases, FEATURES, {"age": 15.0}, noise, 3, seed=2)
    assert alone["age"].equals(together["age"])
    assert alone["itch"].equals(together["itch"])
    assert alone["region"].equals(cases["region"])
