"""The report and the model card of a benchmark of two classes."""

from __future__ import annotations

import dataclasses
import functools

import polars as pl
import pytest

from tests.benchmark_folder import CLASSES, FEATURES, source
from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.comparison import compare_arms
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.evaluation.subgroups import largest_gaps, score_subgroups
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.model_card import model_card
from vitatt.reports.benchmark.sections import report_sections
from vitatt.reports.section import Section

pytestmark = pytest.mark.long

TWO = ("benign", "malignant")
MALIGNANT = ("BCC", "MEL", "SCC")
MAIN = ["balanced accuracy", "AUROC", "partial AUROC above 80 % TPR", "average precision"]
SENSITIVITIES = [f"malignant sensitivity at {n} % specificity" for n in (80, 90, 95)]


@functools.cache
def binary() -> tuple[Facts, pl.DataFrame, dict[str, pl.DataFrame]]:
    """The made-up benchmark with its six classes as two."""
    facts, frame, tables = source()
    benign = [name for name in CLASSES if name not in MALIGNANT]
    frame = frame.select(
        pl.exclude("^p_.*$", "true"),
        true=pl.when(pl.col("true").is_in(MALIGNANT))
        .then(pl.lit("malignant"))
        .otherwise(pl.lit("benign")),
        p_benign=pl.sum_horizontal(f"p_{name}" for name in benign),
        p_malignant=pl.sum_horizontal(f"p_{name}" for name in MALIGNANT),
    )
    counts = {
        "benign": sum(facts.class_counts[name] for name in benign),
        "malignant": sum(facts.class_counts[name] for name in MALIGNANT),
    }
    facts = dataclasses.replace(
        facts, classes=TWO, class_titles={}, class_counts=counts, positive="malignant"
    )
    positive = facts.positive_class
    subgroups = score_subgroups(
        average_seeds(frame.filter(arm="vitatt")), TWO, ["gender"], positive=positive
    )
    made = {
        "arms": score_arms(frame, TWO, FEATURES, positive),
        "pairs": compare_arms(frame, TWO, "vitatt", positive),
        "ranks": tables["ranks"],
        "subgroups": subgroups,
        "gaps": largest_gaps(subgroups),
    }
    return facts, frame, made


@functools.cache
def sections() -> dict[str, Section]:
    return {one.title: one for one in report_sections(*binary())}


def test_tables_of_metrics() -> None:
    main, *_ = sections()["Metrics"].tables
    heads = list(dict.fromkeys(column.title for column in main.columns[1:]))
    assert heads == [*MAIN, *SENSITIVITIES]
    assert len(sections()["Metrics"].plots) == len(heads)
    (classes,) = sections()["Classes"].tables
    assert [column.title for column in classes.columns] == ["arm", "sensitivity", "specificity"]
    facts, _, tables = binary()
    assert classes.columns[1].note.endswith(str(facts.class_counts["malignant"]))
    row = next(row for row in classes.rows if row[0].text == "ViTAtt")
    of_arm = tables["arms"].filter(arm="vitatt", cases="all")
    for cell, kind in zip(row[1:], ("sensitivity", "specificity"), strict=True):
        assert cell.value == of_arm.filter(metric=f"{kind}/malignant")["value"][0]


def test_differences_and_findings() -> None:
    differences = [table.title.split(":")[0] for table in sections()["Differences"].tables]
    assert differences == MAIN
    found = sections()["Question"].points
    assert [point.split(":")[0] for point in found] == [f"Highest {name}" for name in MAIN]


def test_every_metric_is_explained() -> None:
    text = "\n".join(sections()["Protocol"].points)
    assert "area between the ROC curve and the line of 80 % sensitivity" in text
    assert "chance is the share of malignant cases" in text
    assert "malignant sensitivity: highest share of these cases" in text
    assert "macro" not in text
    partial = sections()["Metrics"].plots[MAIN.index("partial AUROC above 80 % TPR")]
    assert partial.caption.endswith("0 to 0.2, higher is better.")


def test_the_model_card() -> None:
    facts, _, tables = binary()
    card = model_card(facts, tables)
    for name in (*MAIN, *SENSITIVITIES):
        assert f" {name} (all cases" in card
    assert "A missed malignant case costs more than a false alarm" in card
    assert "melanoma" not in card
