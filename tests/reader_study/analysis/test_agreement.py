"""Agreement of evidence against the package's metrics of localisation and scikit-learn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from tests.reader_study.analysis.simulated import arrays_of, simulate
from vitatt.explain.checks import localization
from vitatt.reader_study.analysis.agreement import map_agreement, ticked_agreement
from vitatt.reader_study.analysis.evidence import (
    as_mask_grid,
    centre_gaussian,
    feature_agreement,
    mask_agreement,
    random_maps,
    rank_map,
)
from vitatt.reader_study.evidence_mask import SIDE, decode_mask, encode_mask
from vitatt.types import UsageError


def disc(row, column, radius):
    rows, columns = np.indices((SIDE, SIDE))
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(14, 14), (7, 9), (64, 64), (24, 24)])
def test_masks_against_localization(seed, shape):
    rng = np.random.default_rng(seed)
    coarse = np.round(rng.random(shape), 1)  # rounded, for ties
    mask = disc(*rng.uniform(10, 50, 2), rng.uniform(3, 20))
    grid = as_mask_grid(coarse)
    tensor = localization.upsample(torch.tensor(coarse)[None], (SIDE, SIDE))
    np.testing.assert_allclose(grid, tensor[0].numpy(), atol=1e-12)
    reference = localization.localize(torch.tensor(grid)[None], torch.tensor(mask)[None])
    found = mask_agreement(rank_map(grid), mask)
    assert found["IoU"] == pytest.approx(float(reference.iou), abs=1e-6)
    assert found["pointing"] == pytest.approx(float(reference.pointing), abs=1e-6)
    assert found["mass"] == pytest.approx(float(reference.mass), abs=1e-6)


def test_baselines():
    reference = localization.centre_gaussian((SIDE, SIDE))
    np.testing.assert_allclose(centre_gaussian(), reference.numpy(), atol=1e-6)
    mask = disc(32, 32, 12)
    share = mask.mean()
    found = [mask_agreement(rank_map(one), mask) for one in random_maps(40)]
    assert np.mean([one["mass"] for one in found]) == pytest.approx(share, abs=0.01)
    assert np.mean([one["IoU"] for one in found]) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_ticks_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    relevance = {f"f{n}": float(value) for n, value in enumerate(np.round(rng.random(9), 1))}
    ticked = frozenset(rng.choice(list(relevance), 3, replace=False).tolist())
    chosen = [name in ticked for name in relevance]
    found = feature_agreement(relevance, ticked)
    assert found["AUROC"] == pytest.approx(roc_auc_score(chosen, list(relevance.values())))
    expected = kendalltau(chosen, list(relevance.values())).statistic
    assert found["Kendall"] == pytest.approx(expected)


def test_ticks_that_say_nothing():
    relevance = {"age": 0.2, "itch": 0.5}
    for ticked in (frozenset(), frozenset(relevance)):
        assert np.isnan(list(feature_agreement(relevance, ticked).values())).all()
    equal = feature_agreement({"age": 0.5, "itch": 0.5}, frozenset({"age"}))
    assert equal["AUROC"] == 0.5
    assert np.isnan(equal["Kendall"])
    with pytest.raises(UsageError, match=r"but hair has none\. There are: age, itch"):
        feature_agreement(relevance, frozenset({"hair"}))


def study(seed=0):
    """Readings whose masks lie around a place of the case, maps there, and maps elsewhere."""
    rng = np.random.default_rng(seed)
    readings = simulate(rng, readers=6, cases=12)
    names = sorted(set(readings["case_id"]))
    places = {name: rng.uniform(12, 52, 2) for name in names}
    spread = {"resident": 8.0, "board-certified": 4.0, "expert": 1.0}
    masks = []
    for row in readings.iter_rows(named=True):
        centre = places[row["case_id"]] + spread[row["experience"]] * rng.normal(size=2)
        drawn = row["arm"] != "no_ai" and row["position"] % 3
        mask = disc(*centre, 8)
        masks.append(encode_mask(mask) if drawn and mask.any() else None)
    readings = readings.with_columns(evidence_mask=pl.Series(masks, dtype=pl.String))
    maps = {
        "tmme": {name: disc(*places[name], 9).astype(float) + 0.01 for name in names},
        "elsewhere": {name: disc(*(64 - places[name]), 9).astype(float) + 0.01 for name in names},
    }
    return readings, maps


def test_planted_agreement_is_found_and_rises_with_experience():
    readings, maps = study()
    found, apart = map_agreement(arrays_of(readings), maps)
    assert set(found["method"]) == {"tmme", "elsewhere", "centre", "random"}
    assert set(found["arm"]) == {"ai", "ai_reasons"}
    by_band = {
        row["experience"]: row["value"]
        for row in found.filter(measure="IoU", method="tmme", arm="ai").iter_rows(named=True)
    }
    assert by_band["resident"] < by_band["board-certified"] < by_band["expert"]
    overall = {"measure": "IoU", "arm": "ai", "experience": "all"}
    assert apart.filter(method="tmme", **overall)["low"].item() > 0
    assert apart.filter(method="elsewhere", **overall)["value"].item() < 0.05
    drawn = readings.filter(arm="ai")["evidence_mask"].drop_nulls().len()
    assert found.filter(method="tmme", **overall)["readings"].item() == drawn
    one = readings.filter(pl.col("evidence_mask").is_not_null()).row(0, named=True)
    mask = decode_mask(one["evidence_mask"])
    alone = readings.filter(reader=one["reader"], arm=one["arm"], case_id=one["case_id"])
    only, _ = map_agreement(arrays_of(alone), maps)
    expected = mask_agreement(rank_map(maps["tmme"][one["case_id"]]), mask)["mass"]
    assert only.filter(method="tmme", measure="mass")["value"].item() == pytest.approx(expected)


def test_messages_of_maps():
    readings, maps = study()
    del maps["tmme"]["c001"]
    with pytest.raises(UsageError, match="a map of case c001 by tmme, since evidence was drawn"):
        map_agreement(arrays_of(readings), maps)
    with pytest.raises(UsageError, match="grid"):
        as_mask_grid(np.ones(5))
    with pytest.raises(UsageError, match="not negative"):
        as_mask_grid(-np.ones((7, 7)))
    with pytest.raises(UsageError, match="above 0 somewhere"):
        as_mask_grid(np.zeros((7, 7)))


def test_planted_ticks_are_found():
    rng = np.random.default_rng(1)
    readings = simulate(rng, readers=4, cases=10)
    relevance = {
        name: {f"f{n}": float(value) for n, value in enumerate(rng.random(6))}
        for name in sorted(set(readings["case_id"]))
    }
    ticks = [
        ";".join(sorted(relevance[name], key=relevance[name].__getitem__)[-2:]) if name != "c000"
        else ""
        for name in readings["case_id"]
    ]  # fmt: skip
    arrays = arrays_of(readings.with_columns(evidence_features=pl.Series(ticks)))
    found = ticked_agreement(arrays, relevance)
    row = found.filter(measure="AUROC", arm="ai", experience="all").to_dicts()[0]
    assert (row["value"], row["readings"]) == (1, 36)
    with pytest.raises(UsageError, match="relevance of features of case c003"):
        ticked_agreement(arrays, {k: v for k, v in relevance.items() if k != "c003"})


def test_masks_as_text():
    rng = np.random.default_rng(0)
    mask = rng.random((SIDE, SIDE)) < 0.3
    assert (decode_mask(encode_mask(mask)) == mask).all()
    top_left = np.zeros((SIDE, SIDE), dtype=bool)
    top_left[0, 0] = True
    assert encode_mask(top_left).startswith("gA")  # the first bit of the first byte
    with pytest.raises(ValueError, match=r"\(64, 64\), but got \(2, 2\)"):
        encode_mask(np.ones((2, 2), dtype=bool))
    with pytest.raises(UsageError, match="is no base64"):
        decode_mask("!")
    with pytest.raises(UsageError, match="512 bytes"):
        decode_mask("gAAA")
