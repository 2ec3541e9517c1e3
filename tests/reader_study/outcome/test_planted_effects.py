"""Effects planted in simulated readers stand in the tables that the report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.reader_study.simulated_study import reader_model, write_simulated
from vitatt.cli import main
from vitatt.reader_study.outcome.record import read_record
from vitatt.reader_study.outcome.study_outcome import analyse_study
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reports.reader_study.tables import study_tables

SEEDS = range(3)
HELPED = reader_model((-0.5, 0.9, 0.0), (-0.5, 0.05, 0.0), case_spread=0.5)
"""The least experienced follow the AI where it is right; the others hardly ever."""
MISLED = reader_model((1.5, 0.0, 0.9), (1.5, 0.0, 0.9), case_spread=0.5)
"""Everybody follows the AI where it is wrong."""
UNMOVED = reader_model((0.0, 0.0, 0.0), (0.8, 0.0, 0.0), case_spread=0.5)
"""Nobody follows the AI."""


def tables(folder: Path, model: ReaderModel, seed: int) -> dict[str, pl.DataFrame]:
    write_simulated(folder, model, seed=seed, cases=30, readers=12)
    assert main(["study", "analyse", str(folder)]) == 0
    return {path.stem: pl.read_csv(path) for path in (folder / "analysis/tables").glob("*.csv")}


def interaction(found: dict[str, pl.DataFrame]) -> dict[str, float]:
    rows = found["secondary"].filter(pl.col("hypothesis").str.contains("least experienced"))
    return rows.row(0, named=True)


def relative(found: dict[str, pl.DataFrame], measure: str, band: str) -> float:
    return found["reliance"].filter(measure=measure, experience=band)["value"][0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gain_of_the_least_experienced(tmp_path: Path, seed: int) -> None:
    found = tables(tmp_path / "study", HELPED, seed)
    primary, more = found["primary"].row(0, named=True), interaction(found)
    assert 0 < primary["low"] < primary["value"]
    assert primary["p"] < 0.05
    assert 0 < more["low"] < more["value"]
    assert more["p_holm"] < 0.05
    assert relative(found, "relative AI reliance", "low") > 0.8
    assert relative(found, "relative AI reliance", "high") < 0.5
    odds = found["odds_ratios"].filter(experience="low")
    assert odds["low"][0] > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_by_wrong_advice_without_interaction(tmp_path: Path, seed: int) -> None:
    found = tables(tmp_path / "study", MISLED, seed)
    primary = found["primary"].row(0, named=True)
    assert primary["value"] < primary["high"] < 0
    assert interaction(found)["low"] < 0 < interaction(found)["high"]
    assert relative(found, "relative self-reliance", "all") < 0.3
    page = (tmp_path / "study/analysis/report.html").read_text()
    assert "The difference is significant at level 0.05." in page
    assert f"a difference of −{-primary['value']:.3f}" in page


def silent(plan: dict[str, Any]) -> None:
    """Without evidence of readers, which takes most of the time."""
    plan["ask"] |= {"drawing": None, "features": False}


def test_nothing_where_nothing_is_planted(tmp_path: Path) -> None:
    """At level 0.05, 12 studies have more than 2 significant results in 2 % of such tests."""
    p: list[tuple[float, float]] = []
    gaps, skills = [], []
    for seed in range(100, 112):
        folder = tmp_path / str(seed)
        write_simulated(folder, UNMOVED, seed=seed, cases=30, readers=12, change=silent)
        record = read_record(folder)
        found = study_tables(analyse_study(record, record.last_time))
        p.append((found["primary"]["p"][0], interaction(found)["p"]))
        gaps.append(found["primary"]["value"][0])
        of_band = found["metrics"].filter(metric="balanced accuracy", arm="no_ai")
        values = dict(of_band.select("experience", "value").iter_rows())
        skills.append(values["high"] - values["low"])
    assert all(sum(one < 0.05 for one in own) <= 2 for own in zip(*p, strict=True))
    assert abs(np.mean(gaps)) < 0.02
    assert np.mean(skills) > 0.1  # skill differs between bands, which is no interaction
