"""Pairs of nearly equal images: what they join, and chains that join nothing."""

from __future__ import annotations

import itertools

import polars as pl
import pytest

from vitatt.data.images.near_duplicates import NearDuplicates
from vitatt.data.twins import Twins, case_pairs, of_two_groups, sort_out


def near(*pairs: str) -> NearDuplicates:
    """Pairs of images that are named by one letter each."""
    frame = {"one": [p[0] for p in pairs], "other": [p[1] for p in pairs]}
    similarity = pl.Series("similarity", [0.9 - n / 100 for n in range(len(pairs))])
    return NearDuplicates(pl.DataFrame(frame).with_columns(similarity), ("z",))


def test_images_that_are_linked_have_one_key() -> None:
    content = pl.Series(list("eabcdae"))
    twins = Twins(near("bc", "dc", "ae").pairs, near().pairs)
    assert twins.keys(content).to_list() == list("aabbbaa")
    assert Twins.none().keys(content).to_list() == list("eabcdae")


def test_pairs_of_images_of_no_case_join_nothing() -> None:
    """An image between two others, of a row that is left out, does not link them."""
    twins = sort_out(near("ax", "xb", "ac"), pl.Series(["1", "2", "3"]), pl.Series(list("abc")))
    assert twins.pairs.select("one", "other").rows() == [("a", "c")]
    assert twins.chained.is_empty()
    assert twins.flat == ("z",)


@pytest.mark.parametrize(("length", "total", "long"), [(20, 30, False), (21, 30, True)])
def test_a_long_chain_joins_nothing(length: int, total: int, long: bool) -> None:
    names = [f"i{number:02d}" for number in range(total)]
    links = list(itertools.pairwise(names))[: length - 1]
    pairs = pl.DataFrame(
        {"one": [a for a, _ in links], "other": [b for _, b in links], "similarity": 0.7},
        schema_overrides={"similarity": pl.Float64},
    )
    extra = pl.DataFrame({"one": ["i28"], "other": ["i29"], "similarity": [0.8]})
    group = pl.Series("group", [f"P{number}" for number in range(total)])
    content = pl.Series("content", names)
    twins = sort_out(NearDuplicates(pl.concat([pairs, extra])), group, content)
    assert twins.chained.height == (length - 1 if long else 0)
    assert twins.pairs.height == (1 if long else length)
    cases = pl.DataFrame([content.alias("case_id"), group, content])
    note = twins.chain_note(cases, "patient")
    assert note == long * (
        "21 images of 21 patients are linked by pairs that are nearly the same, the first being "
        "i00: too many to be copies. Their patients are not kept together; look at the images."
    )


def test_a_chain_within_few_groups_is_long_but_harmless() -> None:
    names = [f"i{number:03d}" for number in range(200)]
    pairs = pl.DataFrame({"one": names[:-1], "other": names[1:], "similarity": [0.7] * 199})
    group = pl.Series("group", ["P1", "P2"] * 100)
    twins = sort_out(NearDuplicates(pairs), group, pl.Series("content", names))
    assert twins.pairs.height == 199


def test_cases_of_a_pair() -> None:
    """An image under two names is in pairs of both."""
    cases = pl.DataFrame(
        {"case_id": ["1", "2", "3", "4"], "group": list("PPQR"), "content": list("abac")}
    )
    found = case_pairs(near("ab", "bc").pairs, cases)
    assert found.select("case_id", "case_id_other").rows() == [("1", "2"), ("3", "2"), ("2", "4")]
    assert found["similarity"].to_list() == pytest.approx([0.9, 0.9, 0.89])
    apart = of_two_groups(near("ab", "bc").pairs, cases)
    assert apart.select("group", "group_other").rows() == [("Q", "P"), ("P", "R")]
