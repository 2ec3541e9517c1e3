"""All results of simulated studies: planted effects are found, and none where there is none."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.reader_study.analysis.simulated import BANDS, DESIGN, arrays_of, simulate
from vitatt.evaluation.comparison import holm
from vitatt.reader_study.analysis.analysis import analyse_readings
from vitatt.reader_study.analysis.metric_tables import interaction_table
from vitatt.reader_study.analysis.obuchowski_rockette import analyse_variance
from vitatt.reader_study.analysis.reliance import RELATIVE_AI_RELIANCE
from vitatt.reader_study.analysis.scores import jackknife_scores
from vitatt.types import UsageError

PLAN = {
    **DESIGN,
    "primary_metric": "balanced accuracy",
    "primary_contrast": ("no_ai", "ai"),
    "metrics": ("AUROC", "sensitivity", "specificity"),
}
NOTHING = ((0, 0, 0),) * 3
LARGER_FOR_RESIDENTS = ((0, 0, 0), (0.9, 0.45, 0.1), (0.9, 0.45, 0.1))


def test_planted_effects_are_found():
    """AI helps, and the least experienced most."""
    readings = simulate(
        np.random.default_rng(0),
        readers=15,
        cases=60,
        follow_right=LARGER_FOR_RESIDENTS,
        follow_wrong=NOTHING,
    )
    found = analyse_readings(readings, **PLAN)
    primary = found.primary.to_dicts()[0]
    assert (primary["metric"], primary["arm"]) == ("balanced accuracy", "ai")
    assert primary["low"] > 0
    assert primary["p"] < 0.01
    assert primary["mean"] - primary["reference_mean"] == pytest.approx(primary["value"])
    gains = found.gains.filter(metric="balanced accuracy", arm="ai", reference="no_ai")
    by_band = dict(gains.select("experience", "value").iter_rows())
    assert by_band["resident"] > by_band["board-certified"] > by_band["expert"]
    interaction = found.secondary.filter(hypothesis="larger gain of the least experienced")
    assert interaction["experience"].item() == "resident"
    assert interaction["low"].item() > 0
    others = (by_band["board-certified"] + by_band["expert"]) / 2
    assert interaction["value"].item() == pytest.approx(by_band["resident"] - others)
    assert found.correctness is not None
    assert found.correctness.tests["p"].max() < 0.05
    of_residents = found.reliance.filter(
        measure=RELATIVE_AI_RELIANCE, arm="ai", experience="resident"
    )
    assert of_residents["low"].item() < 0.9 < of_residents["high"].item()
    assert found.notes == ()
    assert found.map_agreement is found.ticked_agreement is None


def test_hypotheses_keep_their_order():
    readings = simulate(np.random.default_rng(1), readers=6, cases=24)
    found = analyse_readings(readings, **PLAN)
    status = found.gains.group_by("status").len().sort("status").rows()
    assert status == [("exploratory", 4 * 3 * 4 - 4), ("primary", 1), ("secondary", 3)]
    assert found.interactions["status"].to_list().count("secondary") == 1
    assert found.secondary["metric"].to_list() == [*PLAN["metrics"], "balanced accuracy"]
    np.testing.assert_allclose(found.secondary["p_holm"], holm(found.secondary["p"]))
    assert set(found.metrics["experience"]) == {"all", *BANDS}
    turned = analyse_readings(readings, **(PLAN | {"primary_contrast": ("ai", "no_ai")}))
    one, other = (of.primary.to_dicts()[0] for of in (found, turned))
    assert (other["arm"], other["reference"]) == ("no_ai", "ai")
    assert (other["value"], other["low"], other["p"]) == (-one["value"], -one["high"], one["p"])


def test_a_withdrawn_reader_is_left_out_of_the_analysis_of_variance_only():
    complete = simulate(np.random.default_rng(2), readers=7, cases=20)
    withdrawn = complete.filter((pl.col("reader") != "R03") | (pl.col("arm") == "no_ai"))
    found = analyse_readings(withdrawn, **PLAN)
    without = analyse_readings(complete.filter(pl.col("reader") != "R03"), **PLAN)
    assert found.primary.equals(without.primary)
    assert found.correctness is not None
    assert found.correctness.readings == 7 * 60 - 40
    assert found.notes[0].startswith("Left out of the analysis of variance, since they lack")
    assert "R03." in found.notes[0]
    assert found.readers.filter(reader="R03").row(0) == ("R03", "resident", 20, False)
    alone = complete.filter((pl.col("reader") == "R00") | (pl.col("arm") == "no_ai"))
    with pytest.raises(
        UsageError, match=r"at least 2 readers .* R01 lacks 20 of 20 cases in arm ai; "
    ):
        analyse_readings(alone, **PLAN)


def test_one_reader_in_each_band():
    found = analyse_readings(simulate(np.random.default_rng(3), readers=3, cases=20), **PLAN)
    assert found.primary["low"].null_count() == 0
    of_bands = found.gains.filter(pl.col("experience") != "all")
    assert of_bands["value"].null_count() == 0
    assert of_bands["low"].null_count() == of_bands.height
    assert found.interactions["low"].null_count() == found.interactions.height
    assert found.correctness is None
    assert found.notes[0].startswith("No mixed logistic regression: Expected more readers")


def test_one_band_has_no_interaction():
    readings = simulate(np.random.default_rng(3), readers=4, cases=20, num_bands=1)
    found = analyse_readings(readings, **PLAN)
    assert found.interactions.height == 0
    assert "larger gain" not in " ".join(found.secondary["hypothesis"])
    assert set(found.metrics["experience"]) == {"all"}


def test_metrics_that_cannot_be_computed_are_noted():
    readings = simulate(np.random.default_rng(3), readers=4, cases=20)
    silent = readings.with_columns(score=pl.lit(None, pl.Float64))
    found = analyse_readings(silent, **PLAN)
    assert "AUROC" not in set(found.metrics["metric"])
    assert found.notes[0].startswith("No AUROC: Expected a confidence in every reading")
    with pytest.raises(UsageError, match="Expected a confidence"):
        analyse_readings(silent, **(PLAN | {"primary_metric": "AUROC"}))


def test_a_regression_that_fails_leaves_the_other_results(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("It was not fitted.")

    monkeypatch.setattr("vitatt.reader_study.analysis.analysis.fit_correctness", fail)
    found = analyse_readings(simulate(np.random.default_rng(3), readers=6, cases=20), **PLAN)
    assert found.correctness is None
    assert found.notes == ("No mixed logistic regression: It was not fitted.",)
    assert found.primary.height == 1


def test_all_diagnoses_right_in_all_arms():
    readings = simulate(np.random.default_rng(3), readers=4, cases=20)
    found = analyse_readings(readings.with_columns(diagnosis="truth"), **PLAN)
    primary = found.primary.to_dicts()[0]
    assert (primary["value"], primary["low"], primary["p"]) == (0, None, None)
    assert found.variances.filter(metric="balanced accuracy")["f"].item() is None
    assert found.secondary.filter(metric="sensitivity")["p_holm"].item() is None
    assert "infinite" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primary_metric": "accuracy"}, "Did you mean balanced accuracy"),
        ({"metrics": ["AUC"]}, "among balanced accuracy.*'AUC'"),
        ({"primary_contrast": ("no_ai", "ai_reason")}, "Did you mean ai_reasons"),
        ({"primary_contrast": ("ai", "ai")}, "two arms, but got 'ai' twice"),
        ({"level": 95}, "`level` to be above 0.5 and below 1, but got 95"),
    ],
)
def test_messages_of_settings(change, message):
    readings = simulate(np.random.default_rng(3), readers=3, cases=8)
    with pytest.raises(UsageError, match=message):
        analyse_readings(readings, **(PLAN | change))


def rejections(studies, rng, follow_right, follow_wrong, readers=9, cases=40):
    """Shares of studies in which the gain, and its interaction with experience, is significant."""
    gain = interaction = right_sign = 0
    for _ in range(studies):
        readings = simulate(
            rng, readers=readers, cases=cases, follow_right=follow_right, follow_wrong=follow_wrong
        )
        arrays = arrays_of(readings)
        scores = {"balanced accuracy": jackknife_scores(arrays, "balanced accuracy")}
        of_arms = analyse_variance(scores["balanced accuracy"]).differences[0, 1]
        row = interaction_table(arrays, scores).filter(arm="ai", reference="no_ai").to_dicts()[0]
        gain += of_arms.p < 0.05
        interaction += row["p"] < 0.05
        right_sign += row["value"] > 0
    return gain / studies, interaction / studies, right_sign / studies


def test_rejections_in_a_few_studies():
    rng = np.random.default_rng(4)
    gain, interaction, right_sign = rejections(15, rng, LARGER_FOR_RESIDENTS, NOTHING)
    assert gain > 0.8
    assert interaction > 0.5
    assert right_sign > 0.9
    gain, interaction, _ = rejections(15, rng, NOTHING, NOTHING)
    assert max(gain, interaction) <= 0.25


@pytest.mark.slow
def test_size_without_and_power_with_planted_effects():
    rng = np.random.default_rng(5)
    planted = rejections(300, rng, LARGER_FOR_RESIDENTS, NOTHING)
    nothing = rejections(1000, rng, NOTHING, NOTHING)
    print("planted: gain, interaction, right sign", planted)
    print("nothing: gain, interaction", nothing[:2])
    assert planted[0] > 0.95
    assert planted[1] > 0.8
    assert planted[2] > 0.98
    assert 0.03 <= nothing[0] <= 0.07
    assert 0.03 <= nothing[1] <= 0.07
