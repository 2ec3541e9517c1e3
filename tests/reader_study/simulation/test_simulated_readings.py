"""Simulated readers show the skill and the reliance that they were given."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score

from tests.reader_study.made_study import plain_study
from vitatt.reader_study.analysis.analysis import analyse_readings
from vitatt.reader_study.design.power import simulated_power, variance_test
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.readings_schema import NULLABLE, READINGS
from vitatt.reader_study.simulation.reader_model import (
    DEFAULT_READERS,
    ReaderModel,
    SimulatedBand,
    read_reader_model,
)
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy
from vitatt.types import UsageError


def manifest(cases: int = 60, readers: int = 20, design: str = "crossover", **more) -> Manifest:
    plain, _ = plain_study(cases, readers, design)
    plain["arms"][1]["shows_map"] = None
    plain["arms"][1]["shows_answers"] = False
    return Manifest.model_validate_json(json.dumps(plain | more))


def readers(skill: float, right: float, wrong: float, **more: float) -> ReaderModel:
    band = SimulatedBand(
        skill=skill,
        adopt_right=right,
        adopt_wrong=wrong,
        adopt_right_explained=right,
        adopt_wrong_explained=wrong,
    )
    still = {"difficulty": 0.0, "reader_spread": 0.0, "case_spread": 0.0, "repeatability": 1.0}
    return ReaderModel(bands=(band,), **{**still, **more})


def simulate(plan: Manifest, model: ReaderModel, seed: int = 0) -> pl.DataFrame:
    return SimulatedStudy(plan, model).readings(np.random.default_rng(seed))


def switches(table: pl.DataFrame) -> pl.DataFrame:
    """Diagnoses without AI and with it, of each reader and case."""
    wide = table.pivot(
        "arm", index=["reader", "case_id", "ai_predicted", "ai_correct"], values="diagnosis"
    )
    return wide.filter(pl.col("no_ai") != pl.col("ai_predicted"))


def test_the_table_is_one_of_readings() -> None:
    plan = manifest()
    table = simulate(plan, DEFAULT_READERS)
    assert table.schema == READINGS
    assert table.height == 60 * 20 * 2
    assert table.select("reader", "case_id", "arm").is_unique().all()
    for name in table.columns:
        assert name in NULLABLE or table[name].null_count() == 0
    assert table.filter(pl.col("arm") == "no_ai")["trust"].null_count() == 1200
    assert table.filter(pl.col("arm") == "ai")["trust"].is_between(1, 5).all()
    assert table["confidence"].is_between(0, 100).all()
    periods = (
        table.group_by("period")
        .agg(pl.col("submitted").min().alias("first"), pl.col("submitted").max().alias("last"))
        .sort("period")
    )
    wait = periods["first"][1] - periods["last"][0]
    assert wait.days >= 28
    within = table.sort("submitted").group_by("reader", "period", maintain_order=True)
    assert all(part["position"].is_sorted() for _, part in within)


@pytest.mark.parametrize("skill", [-1.0, 0.0, 1.5])
def test_skill_is_the_share_of_right_diagnoses(skill) -> None:
    table = simulate(manifest(), readers(skill, 0, 0))
    share = (table["diagnosis"] == table["truth"]).mean()
    assert share == pytest.approx(1 / (1 + np.exp(-skill)), abs=4 * 0.5 / np.sqrt(1200))


@pytest.mark.parametrize(("right", "wrong"), [(0.0, 0.0), (0.7, 0.2), (0.2, 0.7), (1.0, 1.0)])
def test_reliance_is_the_share_of_switches_to_the_ai(right, wrong) -> None:
    """Repeatable readers differ between the arms by the AI alone."""
    found = switches(simulate(manifest(), readers(0.0, right, wrong)))
    for correct, planted in ((True, right), (False, wrong)):
        part = found.filter(pl.col("ai_correct") == correct)
        assert part.height > 200
        share = (part["ai"] == part["ai_predicted"]).mean()
        assert share == pytest.approx(planted, abs=4 * 0.5 / np.sqrt(part.height))
        kept = part.filter(pl.col("ai") != pl.col("ai_predicted"))
        assert (kept["ai"] == kept["no_ai"]).all()


def test_bands_differ_as_planted() -> None:
    plan = manifest(readers=41)
    plan = plan.model_copy(update={"readers": plan.readers[:40]})
    low, high = (readers(0.0, adopt, adopt).bands[0] for adopt in (0.9, 0.1))
    found = switches(simulate(plan, readers(0, 0, 0).model_copy(update={"bands": (low, high)})))
    bands = {one.code: one.experience for one in plan.readers}
    found = found.with_columns(pl.col("reader").replace_strict(bands).alias("band"))
    share = dict(
        found.group_by("band").agg((pl.col("ai") == pl.col("ai_predicted")).mean()).iter_rows()
    )
    assert share["low"] == pytest.approx(0.9, abs=0.06)
    assert share["high"] == pytest.approx(0.1, abs=0.06)


def test_in_a_sequential_visit_only_the_ai_changes_a_diagnosis() -> None:
    table = simulate(manifest(design="sequential"), readers(0.0, 0, 0, repeatability=0.0))
    wide = table.pivot("arm", index=["reader", "case_id"], values="diagnosis")
    assert (wide["no_ai"] == wide["ai"]).all()
    table = simulate(manifest(), readers(0.0, 0, 0, repeatability=0.0))
    wide = table.pivot("arm", index=["reader", "case_id"], values="diagnosis")
    assert 0.2 < (wide["no_ai"] == wide["ai"]).mean() < 0.8


def test_hard_cases_are_missed_more_often() -> None:
    plan = manifest()
    table = simulate(plan, readers(0.0, 0, 0, difficulty=1.0))
    ease = {case.case_id: case.ai.probabilities[case.truth] for case in plan.cases}
    table = table.with_columns(
        (pl.col("case_id").replace_strict(ease) > 0.5).alias("easy"),
        (pl.col("diagnosis") == pl.col("truth")).alias("right"),
    )
    right = dict(table.group_by("easy").agg(pl.col("right").mean()).iter_rows())
    assert right[True] > right[False] + 0.2


def test_the_seed_decides() -> None:
    plan = manifest(10, 4)
    assert simulate(plan, DEFAULT_READERS, 1).equals(simulate(plan, DEFAULT_READERS, 1))
    assert not simulate(plan, DEFAULT_READERS, 1).equals(simulate(plan, DEFAULT_READERS, 2))


def test_three_diagnoses_are_three() -> None:
    plan = manifest(10, 4)
    plan = plan.model_copy(update={"ask": plan.ask.model_copy(update={"top": 3})})
    table = simulate(plan, DEFAULT_READERS)
    columns = ("diagnosis", "second", "third")
    assert all(len(set(row)) == 3 for row in table.select(columns).iter_rows())


def test_power_is_one_for_a_large_effect_and_the_level_for_none() -> None:
    plan = manifest(30, 10)
    large = simulated_power(plan, readers(0.0, 1.0, 0.0), simulations=20)
    assert large.value == 1
    assert large.assumptions["mean difference"] > 0.2
    none = simulated_power(plan, readers(0.0, 0.0, 0.0, repeatability=0.0), simulations=200)
    assert 0.005 <= none.value <= 0.1
    assert none == simulated_power(plan, readers(0.0, 0.0, 0.0, repeatability=0.0), simulations=200)


def test_power_by_another_test() -> None:
    power = simulated_power(
        manifest(6, 4), DEFAULT_READERS, simulations=4, test=lambda *_: (0.1, 0.01), method="mine"
    )
    assert (power.value, power.method, power.assumptions["mean difference"]) == (1.0, "mine", 0.1)


def test_power_is_that_of_the_analysis_of_the_study() -> None:
    plan = manifest(12, 6)
    for contrast, sign in ((("no_ai", "ai"), 1), (("ai", "no_ai"), -1)):
        analysis = plan.analysis.model_copy(update={"primary_contrast": contrast})
        turned = plan.model_copy(update={"analysis": analysis})
        table = simulate(turned, DEFAULT_READERS)
        difference, p = variance_test(table, turned)
        primary = analyse_readings(
            table,
            classes=["BCC", "MEL", "NEV"],
            positive=["BCC", "MEL"],
            bands=["low", "high"],
            arms=["no_ai", "ai"],
            primary_metric="balanced accuracy",
            primary_contrast=contrast,
            metrics=["balanced accuracy"],
        ).primary
        assert (difference, p) == pytest.approx((primary["value"][0], primary["p"][0]))
        wide = _accuracy(table).pivot("arm", index="reader", values="value")
        assert difference == pytest.approx(sign * (wide["ai"] - wide["no_ai"]).mean())


def _accuracy(table: pl.DataFrame) -> pl.DataFrame:
    rows = [
        (*key, balanced_accuracy_score(part["truth"], part["diagnosis"]))
        for key, part in table.group_by("reader", "arm")
    ]
    return pl.DataFrame(rows, schema=["reader", "arm", "value"], orient="row")


def test_no_power_where_the_metric_cannot_be_analysed() -> None:
    with pytest.raises(UsageError, match="cases of at least 2 groups of the class BCC"):
        simulated_power(manifest(3, 4), DEFAULT_READERS, simulations=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bands: []", "bands: Tuple should have at least 1 item"),
        ("band: []", "Did you mean bands"),
        ("seconds: -1", "bands: Field required"),
    ],
)
def test_wrong_assumptions(tmp_path, text, said) -> None:
    path = tmp_path / "readers.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_reader_model(path)


def test_assumptions_from_a_file(tmp_path) -> None:
    path = tmp_path / "readers.yaml"
    path.write_text(json.dumps(DEFAULT_READERS.model_dump()))
    assert read_reader_model(path) == DEFAULT_READERS
