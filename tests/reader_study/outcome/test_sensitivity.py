"""The primary contrast by other analyses, against sums by hand and against statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from tests.reader_study.analysis.simulated import ARMS, CLASSES, POSITIVE, arrays_of, simulate
from vitatt.reader_study.analysis.scores import jackknife_scores
from vitatt.reader_study.outcome.periods import PeriodEffects, period_effects
from vitatt.reader_study.outcome.sensitivity import sensitivity

CONTRAST = ("no_ai", "ai")
PRIMARY = {"value": 0.5, "low": 0.4, "high": 0.6, "p": 0.01}


def rows(readings: pl.DataFrame, metric: str) -> list[dict[str, float]]:
    primary = pl.DataFrame({"metric": [metric], **{name: [x] for name, x in PRIMARY.items()}})
    found = sensitivity(arrays_of(readings), primary, CONTRAST, level=0.95)
    return found.to_dicts()


def by_hand(readings: pl.DataFrame, metric: str) -> float:
    """Difference of a metric of pooled readings that both arms have."""
    wide = readings.pivot("arm", index=["reader", "case_id", "truth"], values="diagnosis")
    wide = wide.drop_nulls(list(CONTRAST))
    found = []
    for arm in CONTRAST:
        truth, said = wide["truth"].to_numpy(), wide[arm].to_numpy()
        is_positive, called = np.isin(truth, POSITIVE), np.isin(said, POSITIVE)
        found.append(
            {
                "balanced accuracy": np.mean([(said == truth)[truth == c].mean() for c in CLASSES]),
                "sensitivity": called[is_positive].mean(),
                "specificity": (~called)[~is_positive].mean(),
            }[metric]
        )
    return found[1] - found[0]


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    table = simulate(np.random.default_rng(3))
    missing = (pl.col("reader") == "R01") & (pl.col("case_id") < "c007") & (pl.col("arm") == "ai")
    fast = (pl.col("reader") == "R02") & (pl.col("case_id") > "c030")
    return table.filter(~missing).with_columns(
        seconds=pl.when(fast).then(2.9).otherwise(pl.col("seconds").clip(lower_bound=3.0))
    )


@pytest.mark.parametrize("metric", ["balanced accuracy", "sensitivity", "specificity"])
def test_each_analysis_has_its_readings(readings: pl.DataFrame, metric: str) -> None:
    found = rows(readings, metric)
    complete = readings.filter(pl.col("reader") != "R01")
    slow = readings.filter(pl.col("seconds") >= 3)
    assert {name: found[0][name] for name in PRIMARY} == PRIMARY
    for row, table in zip(found[1:], (complete, readings, slow), strict=True):
        assert row["value"] == pytest.approx(by_hand(table, metric), abs=1e-12)
        assert row["low"] < row["value"] < row["high"]
    assert [row["readers"] for row in found] == [8, 8, 9, 9]
    assert [row["readings"] for row in found] == [640, 640, 706, 688]


def test_areas_under_curves_are_not_pooled(readings: pl.DataFrame) -> None:
    assert len(rows(readings, "AUROC")) == 1


def crossover(seed: int, later: float = 0.0, carried: float = 0.0) -> pl.DataFrame:
    """Readings in three periods; the share `later` of those of period 3 is made right."""
    rng = np.random.default_rng(seed)
    table = simulate(rng, readers=12, cases=48)
    orders = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2)]
    place = {f"R{n:02}": orders[n % 6] for n in range(12)}
    period = [1 + place[r].index(ARMS.index(a)) for r, a in table.select("reader", "arm").rows()]
    after_ai = [
        p > 1 and place[r][p - 2] == 1
        for r, p in zip(table["reader"].to_list(), period, strict=True)
    ]
    chance = np.where(np.array(period) == 3, later, 0) + np.where(after_ai, carried, 0)
    right = rng.random(table.height) < chance
    return table.with_columns(
        pl.Series("period", period),
        diagnosis=pl.when(pl.Series(right)).then("truth").otherwise("diagnosis"),
    )


def effects(table: pl.DataFrame) -> PeriodEffects:
    return period_effects(arrays_of(table), "balanced accuracy", CONTRAST, level=0.95)


def test_period_effects_against_statsmodels() -> None:
    table = crossover(0, later=0.3)
    arrays = arrays_of(table)
    values = jackknife_scores(arrays, "balanced accuracy").values
    periods = arrays.numbers("period")[:, :, 0].astype(int)
    frame = pd.DataFrame(
        [
            {
                "y": values[arm, reader],
                "arm": ARMS[arm],
                "reader": reader,
                "period": periods[arm, reader],
                "before": "none"
                if periods[arm, reader] == 1
                else ARMS[int(np.flatnonzero(periods[:, reader] == periods[arm, reader] - 1)[0])],
            }
            for arm in range(3)
            for reader in range(12)
        ]
    )
    terms = "y ~ C(reader) + C(arm, Treatment('no_ai'))"
    alone = smf.ols(terms, frame).fit()
    with_periods = smf.ols(f"{terms} + C(period)", frame).fit()
    carried = " + ".join(f"I((before == '{arm}') * 1.0)" for arm in ARMS[1:])
    full = smf.ols(f"{terms} + C(period) + {carried}", frame).fit()
    found = effects(table)
    for row, smaller, larger in zip(
        found.tests.iter_rows(named=True), (alone, with_periods), (with_periods, full), strict=True
    ):
        expected = anova_lm(smaller, larger).iloc[1]
        assert row["f"] == pytest.approx(expected["F"], rel=1e-6)
        assert row["p"] == pytest.approx(expected["Pr(>F)"], rel=1e-6)
    name = "C(arm, Treatment('no_ai'))[T.ai]"
    for row, model in zip(
        found.adjusted.iter_rows(named=True), (alone, with_periods, full), strict=True
    ):
        assert row["value"] == pytest.approx(model.params[name], rel=1e-6)
        assert row["p"] == pytest.approx(model.pvalues[name], rel=1e-6)
        interval = model.conf_int().loc[name].tolist()
        assert [row["low"], row["high"]] == pytest.approx(interval, rel=1e-6)


def test_planted_effects_of_period_and_carry_over_are_found() -> None:
    nothing, later, carried = (
        effects(crossover(1, *shares)).tests["p"].to_list() for shares in ((), (0.5,), (0, 0.7))
    )
    assert min(nothing) > 0.05
    assert later[0] < 0.01
    assert carried[1] < 0.01


def test_carry_over_cannot_be_tested_in_two_periods() -> None:
    table = crossover(0).filter(pl.col("arm") != "ai_reasons")
    order = pl.col("period").rank("dense").over("reader").cast(pl.Int64)
    arrays = arrays_of(table.with_columns(period=order))
    arrays = type(arrays)(**{**vars(arrays), "arms": ARMS[:2], "row": arrays.row[:2]})
    found = period_effects(arrays, "balanced accuracy", CONTRAST, level=0.95)
    assert found.tests["p"].is_null().to_list() == [False, True]
    assert found.adjusted["value"].is_null().to_list() == [False, False, True]
