"""Cases of a study: stratified by AI error, diagnosis, difficulty and skin type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import polars as pl

from vitatt.types import UsageError

DIFFICULTIES = ("hard", "medium", "easy")
"""Terciles of the AI's probability of the true class, from the lowest."""


class ChosenCases(NamedTuple):
    """Cases of a study and its training cases.

    Attributes:
        cases: Rows of the candidates, in random order, with ``difficulty`` and ``ai_correct``.
        training: The same for training cases, of other groups.
        notes: Requests that could not be met, a sentence each.
    """

    cases: pl.DataFrame
    training: pl.DataFrame
    notes: tuple[str, ...]


def choose_cases(
    candidates: pl.DataFrame, *, cases: int, training_cases: int, wrong_share: float, seed: int
) -> ChosenCases:
    """Choose cases, at most one of each group.

    A share of the cases is one that the AI gets wrong. Within both parts one case after the other
    is drawn at random among those whose diagnosis, then whose diagnosis and difficulty, then whose
    skin type has been chosen least so far. A class with a single case has no variance over cases:
    cases of frequent classes are exchanged until every class has two, as far as there are.

    Args:
        candidates: Columns ``case_id``, ``group``, ``truth``, ``predicted``, ``of_truth`` (the AI's
            probability of the true class) and ``skin_type`` (null where it is not known).
        cases: Number of cases.
        training_cases: Number of training cases.
        wrong_share: Share of cases that the AI gets wrong, where that number of groups have one.
        seed: Of the draws.

    Raises:
        UsageError: If there are too few groups.
    """
    groups = candidates["group"].n_unique()
    if cases + training_cases > groups:
        raise UsageError(
            f"Expected at most {groups - training_cases} cases beside {training_cases} training "
            f"cases, one of each group, but got --cases {cases}: the test split has "
            f"{candidates.height} cases of {groups} groups."
        )
    rng = np.random.default_rng([seed, _STREAM])
    table = with_strata(candidates).sort("case_id")
    chosen, note = _part(table, cases, wrong_share, rng, least=_LEAST)
    rest = table.filter(~pl.col("group").is_in(chosen["group"].to_list()))
    training, _ = _part(rest, training_cases, wrong_share, rng)
    notes = [note] if note else []
    return ChosenCases(chosen, training, (*notes, *_empty_classes(table, chosen)))


def with_strata(candidates: pl.DataFrame) -> pl.DataFrame:
    """Candidates with ``difficulty`` by terciles of all of them, and ``ai_correct``."""
    ranks = candidates["of_truth"].rank("ordinal").to_numpy() - 1
    tercile = ranks * len(DIFFICULTIES) // max(candidates.height, 1)
    return candidates.with_columns(
        pl.Series("difficulty", [DIFFICULTIES[int(place)] for place in tercile], dtype=pl.String),
        (pl.col("predicted") == pl.col("truth")).alias("ai_correct"),
    )


_LEAST = 2  # cases of each class
_STREAM = 1  # random numbers of their own, whatever else the seed decides


def _part(
    table: pl.DataFrame,
    count: int,
    wrong_share: float,
    rng: np.random.Generator,
    least: int = 0,
) -> tuple[pl.DataFrame, str]:
    """Choose cases, and say if the share of wrong AI could not be had."""
    rows = table.to_dicts()
    asked = round(wrong_share * count)
    chosen = _draw(rows, {False}, asked, [], rng)
    chosen = _draw(rows, {True}, count - len(chosen), chosen, rng)
    chosen = _draw(rows, {False}, count - len(chosen), chosen, rng)  # if too few are right
    before = sum(not rows[place]["ai_correct"] for place in chosen)
    chosen = _with_classes(rows, chosen, least, rng)
    wrong = sum(not rows[place]["ai_correct"] for place in chosen)
    note = ""
    if wrong != asked and wrong != before:
        note = (
            f"The AI is wrong in {wrong} of {count} cases and not in {asked}, as asked, so that "
            f"each class has at least {least} cases."
        )
    elif wrong != asked:
        groups = table.filter(pl.col("ai_correct") == (wrong > asked))["group"].n_unique()
        kind = "right" if wrong > asked else "wrong"
        note = (
            f"The AI is wrong in {wrong} of {count} cases and not in {asked}, as asked: it is "
            f"{kind} in cases of {groups} groups only."
        )
    return table[rng.permutation(np.array(chosen, dtype=np.int64))], note


def _draw(
    rows: list[dict[str, object]],
    correct: Collection[bool],
    count: int,
    chosen: list[int],
    rng: np.random.Generator,
) -> list[int]:
    """Add cases to those chosen, as many as there are."""
    chosen = list(chosen)
    used = {rows[place]["group"] for place in chosen}
    keys = ("truth",), ("truth", "difficulty"), ("skin_type",)
    counts = [Counter(_key(rows[place], names) for place in chosen) for names in keys]
    lots = rng.permutation(len(rows))
    for _ in range(count):
        open_rows = [
            place
            for place, row in enumerate(rows)
            if row["ai_correct"] in correct and row["group"] not in used
        ]
        if not open_rows:
            break
        best = min(
            open_rows,
            key=lambda place: (
                *(
                    counter[_key(rows[place], names)]
                    for counter, names in zip(counts, keys, strict=True)
                ),
                lots[place],
            ),
        )
        chosen.append(best)
        used.add(rows[best]["group"])
        for counter, names in zip(counts, keys, strict=True):
            counter[_key(rows[best], names)] += 1
    return chosen


def _key(row: dict[str, object], names: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(row[name] for name in names)


def _with_classes(
    rows: list[dict[str, object]], chosen: list[int], least: int, rng: np.random.Generator
) -> list[int]:
    """Exchange cases of classes with more than the least number for those of classes with fewer."""
    chosen, lots = list(chosen), [int(place) for place in rng.permutation(len(rows))]
    while True:
        used = {rows[place]["group"] for place in chosen}
        counts = Counter(rows[place]["truth"] for place in chosen)
        free = [place for place in lots if rows[place]["group"] not in used]
        groups = {(rows[place]["truth"], rows[place]["group"]) for place in free}
        there = counts + Counter(name for name, _ in groups)
        added = next(
            (
                place
                for place in free
                if counts[rows[place]["truth"]] < least <= there[rows[place]["truth"]]
            ),
            None,
        )
        if added is None or max(counts.values()) <= least:
            return chosen
        frequent = max(counts, key=lambda name: (counts[name], str(name)))
        # The first drawn of those with the same error, if there is one, so that their share stays.
        removed = min(
            (place for place in chosen if rows[place]["truth"] == frequent),
            key=lambda place: rows[place]["ai_correct"] != rows[added]["ai_correct"],
        )
        chosen[chosen.index(removed)] = added


def _empty_classes(table: pl.DataFrame, chosen: pl.DataFrame) -> list[str]:
    lost = sorted(set(table["truth"]) - set(chosen["truth"]))
    return [f"No case of {', '.join(lost)} is among the cases."] if lost else []
