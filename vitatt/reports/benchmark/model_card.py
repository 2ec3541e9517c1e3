"""Model cards in Markdown, with the headings of Mitchell et al.

Source: Mitchell et al. 2019, "Model cards for model reporting", FAT* 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from vitatt.reports.benchmark.comparisons import pairs_tables, subgroup_tables
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.prose import (
    complete_cases,
    limits,
    metric_meanings,
    protocol_points,
)
from vitatt.reports.benchmark.tables import (
    arms_table,
    calibration_metrics,
    class_tables,
    main_metrics,
)
from vitatt.reports.section import Table
from vitatt.reports.templates import environment


def is_card(path: Path) -> bool:
    """Whether a file is a model card of `model_card`, which may be overwritten."""
    try:
        with path.open("rb") as file:
            text = file.read()
    except OSError:
        return False
    return text.startswith(b"# Model card: ") and b"Software: vitatt" in text


def model_card(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> str:
    """The card of the reference arm, or of the model of a test run.

    Args:
        facts: The protocol.
        tables: As for the report.
    """
    arms, subgroups = tables["arms"], tables["subgroups"]
    of_model = arms.filter(pl.col("arm") == facts.reference)
    metrics = [*main_metrics(arms, facts), *calibration_metrics(arms)]
    attributes = subgroups["attribute"].unique(maintain_order=True)
    template = environment().get_template("benchmark/model_card.md.jinja")
    text = template.render(
        facts=facts,
        model=facts.arms[facts.reference],
        attributes=[facts.feature_labels.get(name, name) for name in attributes],
        meanings=metric_meanings(metrics, facts),
        protocol=protocol_points(facts, complete_cases(of_model)),
        results=_results(of_model, facts),
        subgroups=subgroup_tables(subgroups, tables["gaps"], facts) if subgroups.height else [],
        comparisons=pairs_tables(tables["pairs"], facts) if facts.compared else [],
        limits=limits(facts, arms, subgroups),
    )
    return text.strip() + "\n"


def _results(of_model: pl.DataFrame, facts: Facts) -> list[Table]:
    return [
        arms_table(of_model, facts, main_metrics(of_model, facts), "Main metrics"),
        arms_table(of_model, facts, calibration_metrics(of_model), "Probabilities"),
        *class_tables(of_model, facts),
    ]
