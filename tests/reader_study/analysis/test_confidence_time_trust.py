"""Calibration, time and trust against hand calculations and torchmetrics."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import gmean
from torchmetrics.classification import BinaryCalibrationError

from tests.reader_study.analysis.simulated import arrays_of, simulate
from vitatt.reader_study.analysis.confidence import calibration, calibration_differences
from vitatt.reader_study.analysis.time_and_trust import (
    time_ratios,
    times,
    trust,
    trust_differences,
)
from vitatt.types import UsageError

READINGS = simulate(np.random.default_rng(0), readers=6, cases=30)


def value(table, **row):
    return table.filter(**row)["value"].item()


def test_calibration_by_hand_and_by_torchmetrics():
    found = calibration(arrays_of(READINGS))
    for experience in ("all", "resident"):
        rows = READINGS.filter(arm="ai")
        if experience != "all":
            rows = rows.filter(experience=experience)
        confidence = (rows["confidence"] / 100).to_numpy()
        right = (rows["diagnosis"] == rows["truth"]).to_numpy()
        row = {"arm": "ai", "experience": experience}
        assert value(found, measure="confidence", **row) == pytest.approx(confidence.mean())
        over = value(found, measure="overconfidence", **row)
        assert over == pytest.approx(confidence.mean() - right.mean())
        brier = value(found, measure="Brier", **row)
        assert brier == pytest.approx(((confidence - right) ** 2).mean())
    # Off the bins' edges, at which torchmetrics counts a confidence to the bin above.
    moved = READINGS.with_columns(confidence=pl.col("confidence").clip(1, 99) + 0.01)
    rows = moved.filter(arm="ai")
    reference = BinaryCalibrationError(n_bins=15)(
        torch.tensor((rows["confidence"] / 100).to_numpy()),
        torch.tensor((rows["diagnosis"] == rows["truth"]).to_numpy().astype(int)),
    )
    error = value(
        calibration(arrays_of(moved)), measure="calibration error", arm="ai", experience="all"
    )
    assert error == pytest.approx(float(reference), abs=1e-6)


def test_planted_overconfidence_is_found():
    sure = READINGS.with_columns(
        confidence=pl.when(arm="ai").then(pl.lit(95.0)).otherwise("confidence")
    )
    row = calibration(arrays_of(sure)).filter(measure="overconfidence", arm="ai", experience="all")
    assert row["low"].item() > 0.1
    apart = calibration_differences(arrays_of(sure)).filter(
        measure="overconfidence", arm="ai", reference="no_ai", experience="all"
    )
    assert apart["low"].item() > 0
    assert apart["p"].item() < 0.05


def test_readings_without_confidence_have_no_rows():
    silent = READINGS.with_columns(confidence=pl.lit(None, pl.Float64))
    assert calibration(arrays_of(silent)).height == 0
    assert calibration_differences(arrays_of(silent)).height == 0


def test_times_are_geometric_means():
    found, ratios = times(arrays_of(READINGS)), time_ratios(arrays_of(READINGS))
    means = {arm: gmean(READINGS.filter(arm=arm)["seconds"].to_numpy()) for arm in ("no_ai", "ai")}
    assert value(found, arm="ai", experience="all") == pytest.approx(means["ai"])
    row = ratios.filter(arm="ai", reference="no_ai", experience="all").to_dicts()[0]
    assert row["value"] == pytest.approx(means["ai"] / means["no_ai"])
    assert 1 < row["low"] < np.exp(0.3) < row["high"]  # planted
    stopped = READINGS.with_columns(seconds=pl.lit(0.0))
    with pytest.raises(UsageError, match="540 took 0: correct the column seconds"):
        times(arrays_of(stopped))


def test_trust_where_the_ai_is_right_and_wrong():
    trusting = READINGS.with_columns(
        trust=pl.when(pl.col("trust").is_null())
        .then(None)
        .when("ai_correct")
        .then(pl.lit(4))
        .otherwise(pl.lit(2))
        .cast(pl.Int64)
    )
    found = trust(arrays_of(trusting))
    assert set(found["arm"]) == {"ai", "ai_reasons"}
    assert value(found, ai="right", arm="ai", experience="all") == 4
    assert value(found, ai="wrong", arm="ai", experience="all") == 2
    assert value(found, ai="any", arm="ai", experience="all") == pytest.approx(3.6)
    apart = trust_differences(arrays_of(READINGS))
    assert set(apart["reference"]) == {"ai"}
    assert apart.filter(experience="all")["p"].item() > 0.001
