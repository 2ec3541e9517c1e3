"""Assignment of readers to arms and of cases to an order, balanced and decided by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from vitatt.reader_study.manifest import Period

Design = Literal["crossover", "sequential"]


def williams_sequences(arms: int) -> list[list[int]]:
    """Sequences of a Williams design: every arm once in each period of as many sequences.

    Every arm follows every other one equally often, so that carry-over is balanced (Williams 1949,
    10.1071/CH9490149): with A sequences if A is even, else with 2 A. The first A sequences are a
    Latin square.

    Args:
        arms: Number of arms, A.
    """
    first = [0]
    for step in range(1, arms):
        first.append((arms - (step + 1) // 2) % arms if step % 2 else step // 2)
    square = [[(place + shift) % arms for place in first] for shift in range(arms)]
    mirrored = [row[::-1] for row in square] if arms % 2 and arms > 1 else []
    return square + mirrored


def assign(
    arms: Sequence[str],
    cases: Sequence[str],
    bands: Sequence[str | None],
    *,
    design: Design,
    seed: int,
) -> list[tuple[Period, ...]]:
    """Return a schedule for each reader.

    In a crossover each reader reads every case in every arm, one arm in a period. Sequences of arms
    are dealt to the readers in random order, band by band, so that each sequence has equally many
    readers, or one more, overall and nearly so within the bands. In the sequential design each case
    is read in all arms before the next case. The order of the cases is random for each reader and
    period.

    Args:
        arms: Names of the arms, in the order in which a sequential design shows them.
        cases: Ids of the cases.
        bands: Experience band of each reader, if known.
        design: Of the study.
        seed: Of all random draws.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if design == "sequential":
        return [(_period(list(arms), cases, rng),) for _ in bands]
    sequences = williams_sequences(len(arms))
    labels = rng.permutation(len(arms))  # which arm is which letter of the design
    readers = rng.permutation(len(bands))
    in_bands = sorted(readers, key=lambda number: bands[number] or "")
    sequence_of = {
        int(number): sequences[place % len(sequences)] for place, number in enumerate(in_bands)
    }
    return [
        tuple(_period([arms[labels[letter]]], cases, rng) for letter in sequence_of[number])
        for number in range(len(bands))
    ]


def balance_note(arms: int, readers: int, design: Design) -> str:
    """A sentence on a number of readers that cannot be balanced, or nothing."""
    sequences = len(williams_sequences(arms))
    if design == "sequential" or readers % sequences == 0:
        return ""
    return (
        f"{readers} readers are no multiple of {sequences}, the sequences of {arms} arms: order "
        "and carry-over are balanced as nearly as possible."
    )


_STREAM = 2  # random numbers of their own, whatever else the seed decides


def _period(arms: list[str], cases: Sequence[str], rng: np.random.Generator) -> Period:
    order = rng.permutation(len(cases))
    return Period(arms=tuple(arms), cases=tuple(cases[place] for place in order))
