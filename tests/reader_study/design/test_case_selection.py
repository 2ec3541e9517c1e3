"""Cases of a study: strata, wrong AI, and one of each group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from vitatt.reader_study.design.case_selection import choose_cases, with_strata
from vitatt.types import UsageError

CLASSES = ("BCC", "MEL", "NEV")


def candidates(count: int = 300, groups: int = 200, wrong: float = 0.3) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    # Prevalences differ, as in clinics.
    truth = rng.choice(CLASSES, count, p=[0.6, 0.1, 0.3])
    is_wrong = rng.random(count) < wrong
    other = {"BCC": "MEL", "MEL": "NEV", "NEV": "BCC"}
    predicted = [other[name] if bad else name for name, bad in zip(truth, is_wrong, strict=True)]
    of_truth = np.where(is_wrong, rng.uniform(0, 0.45, count), rng.uniform(0.4, 1, count))
    return pl.DataFrame(
        {
            "case_id": [f"IMG{number}" for number in range(count)],
            "group": [f"P{number % groups}" for number in range(count)],
            "truth": truth,
            "predicted": predicted,
            "of_truth": of_truth,
            "skin_type": [
                None if number % 9 == 0 else str(1 + number % 5) for number in range(count)
            ],
        }
    )


def choose(table: pl.DataFrame, **settings):
    usual = {"cases": 60, "training_cases": 6, "wrong_share": 0.3, "seed": 0}
    return choose_cases(table, **{**usual, **settings})


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3, 0.5])
def test_the_share_of_wrong_ai(share) -> None:
    chosen = choose(candidates(), wrong_share=share)
    wrong = chosen.cases.filter(pl.col("predicted") != pl.col("truth"))
    assert wrong.height == round(60 * share)
    assert (wrong["ai_correct"] == False).all()  # noqa: E712
    assert chosen.notes == ()


def test_groups_come_once_and_training_has_others() -> None:
    chosen = choose(candidates(), cases=120, training_cases=20)
    groups = [*chosen.cases["group"], *chosen.training["group"]]
    assert len(set(groups)) == len(groups) == 140


def test_classes_difficulties_and_skin_types_are_balanced() -> None:
    chosen = choose(candidates()).cases
    by_class = Counter(chosen["truth"])
    assert by_class == dict.fromkeys(CLASSES, 20)
    right = chosen.filter("ai_correct")
    for name in CLASSES:
        counts = Counter(right.filter(pl.col("truth") == name)["difficulty"])
        assert len(counts) >= 2  # the AI is seldom right with a probability in the lowest third
    skin = Counter(chosen["skin_type"])
    assert max(skin.values()) - min(skin.values()) <= 6


def test_difficulty_is_a_tercile_of_the_probability_of_the_true_class() -> None:
    table = with_strata(candidates())
    assert Counter(table["difficulty"]) == {"hard": 100, "medium": 100, "easy": 100}
    bounds = {
        name: (part["of_truth"].min(), part["of_truth"].max())
        for (name,), part in table.group_by("difficulty")
    }
    assert bounds["hard"][1] <= bounds["medium"][0] <= bounds["medium"][1] <= bounds["easy"][0]


def test_too_few_errors_are_named() -> None:
    chosen = choose(candidates(wrong=0.02))
    wrong = int((~chosen.cases["ai_correct"]).sum())
    assert 0 < wrong < 18
    assert chosen.cases.height == 60
    (note,) = chosen.notes
    assert note.startswith(
        f"The AI is wrong in {wrong} of 60 cases and not in 18, as asked: it is "
    )
    assert note.endswith(f"wrong in cases of {wrong} groups only.")


def test_too_few_right_cases_are_named() -> None:
    chosen = choose(candidates(wrong=0.95), wrong_share=0.1, cases=100)
    assert chosen.cases.height == 100
    assert "it is right in cases of" in chosen.notes[0]


def test_a_class_without_a_case_is_named() -> None:
    table = candidates()
    rare = table.filter(pl.col("truth") == "MEL")["case_id"]
    lone = table.filter(~pl.col("case_id").is_in(rare[1:].to_list()))
    chosen = choose(lone, cases=2, training_cases=0, wrong_share=0.0)
    assert any("No case of" in note for note in chosen.notes)


def test_too_few_groups_are_an_error() -> None:
    with pytest.raises(
        UsageError,
        match=r"at most 194 cases beside 6 training cases.*got --cases 195: the test split has 300 "
        r"cases of 200 groups",
    ):
        choose(candidates(), cases=195)
    assert choose(candidates(), cases=194).cases.height == 194


def test_the_seed_decides_and_the_order_of_the_table_does_not() -> None:
    table = candidates()
    one = choose(table).cases["case_id"].to_list()
    assert one == choose(table).cases["case_id"].to_list()
    assert one != choose(table, seed=1).cases["case_id"].to_list()


def test_the_order_says_nothing_about_the_ai() -> None:
    """Wrong cases are drawn first, and must not stand first."""
    places = [
        np.flatnonzero(~choose(candidates(), seed=seed).cases["ai_correct"].to_numpy()).mean()
        for seed in range(20)
    ]
    assert abs(np.mean(places) - 29.5) < 3


def test_every_class_has_two_cases_even_if_the_ai_is_right_in_one_class_only() -> None:
    table = candidates(wrong=1.0).with_columns(
        pl.when(pl.col("truth") == "NEV").then("truth").otherwise("predicted").alias("predicted")
    )
    chosen = choose(table, cases=12, wrong_share=0.25)
    counts = Counter(chosen.cases["truth"])
    assert set(counts) == set(table["truth"])
    assert min(counts.values()) >= 2
    wrong = int((~chosen.cases["ai_correct"]).sum())
    assert chosen.notes[0] == (
        f"The AI is wrong in {wrong} of 12 cases and not in 3, as asked, so that each class has at "
        "least 2 cases."
    )
