"""Schedules of readers: balanced, complete, and decided by the seed."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise, product

import pytest

from vitatt.reader_study.design.assignment import assign, balance_note, williams_sequences

ARMS = ("no_ai", "ai", "ai_reasons")
CASES = tuple(f"c{number:03d}" for number in range(7))


@pytest.mark.parametrize("arms", range(1, 8))
def test_williams_design(arms) -> None:
    """Each arm once in each sequence, equally often in each period and after each other arm."""
    sequences = williams_sequences(arms)
    assert len(sequences) == (arms if arms % 2 == 0 or arms == 1 else 2 * arms)
    assert all(sorted(one) == list(range(arms)) for one in sequences)
    for period in range(arms):
        counts = Counter(one[period] for one in sequences)
        assert set(counts.values()) == {len(sequences) // arms}
    after = Counter(pair for one in sequences for pair in pairwise(one))
    expected = {pair for pair in product(range(arms), repeat=2) if pair[0] != pair[1]}
    assert set(after) == expected
    assert len(set(after.values())) <= 1
    square = sequences[:arms]
    assert all(len({one[period] for one in square}) == arms for period in range(arms))


def sequences_of(schedules) -> list[tuple[str, ...]]:
    return [tuple(period.arms[0] for period in one) for one in schedules]


@pytest.mark.parametrize(("arms", "readers"), [(2, 8), (3, 6), (3, 12), (3, 18)])
def test_a_crossover_is_balanced(arms, readers) -> None:
    names = ARMS[:arms]
    bands = (["low", "high"] * readers)[:readers]
    schedules = assign(names, CASES, bands, design="crossover", seed=3)
    sequences = sequences_of(schedules)
    for period in range(arms):
        counts = Counter(one[period] for one in sequences)
        assert set(counts.values()) == {readers // arms}
    after = Counter(pair for one in sequences for pair in pairwise(one))
    assert len(set(after.values())) == 1
    for band in ("low", "high"):
        own = [one for one, of in zip(sequences, bands, strict=True) if of == band]
        counts = Counter(one[0] for one in own)
        assert max(counts.values()) - min(counts.get(name, 0) for name in names) <= 1


@pytest.mark.parametrize("readers", [1, 4, 7])
def test_other_numbers_of_readers_are_as_near_as_possible(readers) -> None:
    sequences = sequences_of(assign(ARMS, CASES, [None] * readers, design="crossover", seed=0))
    counts = Counter(one[0] for one in sequences)
    assert max(counts.values()) - min(counts.get(name, 0) for name in ARMS) <= 1
    assert re.fullmatch(
        rf"{readers} readers are no multiple of 6, the sequences of 3 arms: .*",
        balance_note(3, readers, "crossover"),
    )
    assert balance_note(3, 12, "crossover") == balance_note(3, 7, "sequential") == ""


def test_every_reader_reads_every_case_once_in_a_period_and_once_in_each_arm() -> None:
    for schedule in assign(ARMS, CASES, [None] * 7, design="crossover", seed=1):
        assert all(sorted(period.cases) == list(CASES) for period in schedule)
        assert sorted(period.arms for period in schedule) == sorted((arm,) for arm in ARMS)


def test_orders_differ_between_readers_and_periods() -> None:
    schedules = assign(ARMS, CASES, [None] * 6, design="crossover", seed=1)
    assert len({period.cases for one in schedules for period in one}) == 18


def test_the_sequential_design_has_one_period() -> None:
    for schedule in assign(ARMS, CASES, [None] * 4, design="sequential", seed=1):
        (period,) = schedule
        assert period.arms == ARMS
        assert sorted(period.cases) == list(CASES)


@pytest.mark.parametrize("design", ["crossover", "sequential"])
def test_the_seed_decides(design) -> None:
    def one(seed: int):
        return assign(ARMS, CASES, [None] * 6, design=design, seed=seed)

    assert one(1) == one(1)
    assert one(1) != one(2)
