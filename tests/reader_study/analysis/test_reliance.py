"""Reliance against counts by loops, and planted reliance of simulated readers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.reader_study.analysis.simulated import arrays_of, simulate
from vitatt.reader_study.analysis.reliance import (
    RELATIVE_AI_RELIANCE,
    RELATIVE_SELF_RELIANCE,
    reliance,
    reliance_differences,
)


def counted(readings, arm):
    """Numbers of correct reliance on the AI and on oneself, and of chances for each."""
    rows = {(row["reader"], row["case_id"], row["arm"]): row for row in readings.to_dicts()}
    ai_reliance = ai_chances = self_reliance = self_chances = 0
    for (reader, case, at), after in rows.items():
        if at != arm or (reader, case, "no_ai") not in rows:
            continue
        before = rows[reader, case, "no_ai"]
        was, now = (row["diagnosis"] == row["truth"] for row in (before, after))
        if not was and after["ai_correct"]:
            ai_chances += 1
            ai_reliance += now
        if was and not after["ai_correct"]:
            self_chances += 1
            self_reliance += now
    return ai_reliance / ai_chances, self_reliance / self_chances, ai_chances


def value(table, **row):
    return table.filter(**row)["value"].item()


@pytest.mark.parametrize("gaps", [False, True])
def test_shares_against_loops(gaps):
    readings = simulate(np.random.default_rng(1), readers=6, cases=30)
    if gaps:
        readings = readings.sample(fraction=0.8, seed=2)
    found = reliance(arrays_of(readings))
    for arm in ("ai", "ai_reasons"):
        on_ai, on_self, chances = counted(readings, arm)
        row = {"arm": arm, "experience": "all"}
        assert value(found, measure=RELATIVE_AI_RELIANCE, **row) == pytest.approx(on_ai)
        assert value(found, measure=RELATIVE_SELF_RELIANCE, **row) == pytest.approx(on_self)
        number = found.filter(measure=RELATIVE_AI_RELIANCE, **row)["readings"].item()
        assert number == chances
    experts = readings.filter(experience="expert")
    expected = counted(experts, "ai")[0]
    row = {"arm": "ai", "experience": "expert", "measure": RELATIVE_AI_RELIANCE}
    assert value(found, **row) == pytest.approx(expected)


def test_planted_reliance_is_found():
    """Readers who follow 60 % of right advice and 30 % of wrong advice, and change nothing else."""
    readings = simulate(
        np.random.default_rng(2),
        readers=30,
        cases=120,
        noise=0.0,
        follow_right=((0, 0, 0), (0.6, 0.6, 0.6), (0.8, 0.8, 0.8)),
        follow_wrong=((0, 0, 0), (0.3, 0.3, 0.3), (0.3, 0.3, 0.3)),
    )
    found = reliance(arrays_of(readings))
    for measure, arm, planted in (
        (RELATIVE_AI_RELIANCE, "ai", 0.6),
        (RELATIVE_AI_RELIANCE, "ai_reasons", 0.8),
        (RELATIVE_SELF_RELIANCE, "ai", 0.7),
        ("changed from the AI's diagnosis", "ai", 0.0),
        ("right to wrong, AI right", "ai", 0.0),
    ):
        row = found.filter(measure=measure, arm=arm, experience="all").to_dicts()[0]
        assert row["value"] == pytest.approx(planted, abs=0.05)
        if planted:
            assert row["low"] < planted < row["high"]
        else:
            assert row["low"] is None
    apart = reliance_differences(arrays_of(readings))
    of_ai = apart.filter(measure=RELATIVE_AI_RELIANCE).to_dicts()[0]
    assert (of_ai["arm"], of_ai["reference"]) == ("ai_reasons", "ai")
    assert of_ai["low"] < 0.2 < of_ai["high"]
    assert of_ai["low"] > 0
    of_self = apart.filter(measure=RELATIVE_SELF_RELIANCE).to_dicts()[0]
    assert of_self["low"] < 0 < of_self["high"]
    assert of_self["p"] > 0.05


def test_an_ai_that_is_always_right_leaves_no_chance_of_self_reliance():
    readings = simulate(np.random.default_rng(3), readers=4, cases=12, ai_right=1.0)
    found = reliance(arrays_of(readings))
    assert not found.filter(measure=RELATIVE_SELF_RELIANCE).height
    assert found.filter(measure=RELATIVE_AI_RELIANCE).height
    apart = reliance_differences(arrays_of(readings))
    assert apart.filter(measure=RELATIVE_SELF_RELIANCE)["value"].item() is None


def test_one_reader_in_a_band_has_shares_without_intervals():
    readings = simulate(np.random.default_rng(4), readers=3, cases=20)
    rows = reliance(arrays_of(readings)).filter(pl.col("experience") == "expert")
    assert rows["value"].null_count() == 0
    assert rows["low"].null_count() == rows.height
