"""Prose of a report: the numbers and decisions that its templates need."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.templates import paragraphs

FEW_CASES = 100
"""Classes with fewer cases are named among the limits: sensitivity changes by over 1 % per case."""


def metric_meanings(metrics: Sequence[str], facts: Facts) -> list[str]:
    """Meaning, range and direction of each kind of metric that occurs.

    Args:
        metrics: Names of the metrics of the report.
        facts: The protocol.
    """
    meanings = paragraphs("benchmark/metrics.txt.jinja", chance=1 / len(facts.classes), facts=facts)
    names = [meaning.partition(":")[0] for meaning in meanings]
    return [
        meaning
        for name, meaning in zip(names, meanings, strict=True)
        if any(name in metric for metric in metrics)
    ]


def protocol_points(facts: Facts, complete: int | None) -> list[str]:
    """How the metrics were measured.

    Args:
        facts: The protocol.
        complete: Number of cases with complete metadata; None where not counted.
    """
    excluded = facts.absent + facts.unreadable
    return paragraphs(
        "benchmark/protocol.txt.jinja", facts=facts, complete=complete, excluded=excluded
    )


def limits(facts: Facts, arms: pl.DataFrame, subgroups: pl.DataFrame) -> list[str]:
    """Limits of the metrics that follow from the data.

    Args:
        facts: The protocol.
        arms: As `score_arms` gives it.
        subgroups: As `score_subgroups` gives it.
    """
    small = subgroups.filter(pl.col("small")).select("attribute", "subgroup").unique()
    return paragraphs(
        "benchmark/limits.txt.jinja",
        facts=facts,
        few={name: n for name, n in facts.class_counts.items() if n < FEW_CASES},
        complete=complete_cases(arms),
        small=small.height,
    )


def complete_cases(arms: pl.DataFrame) -> int | None:
    """Number of cases with complete metadata; None if they were not scored apart.

    Args:
        arms: As `score_arms` gives it.
    """
    found = arms.filter(pl.col("cases") == "complete")["n"]
    return int(found[0]) if len(found) else None
