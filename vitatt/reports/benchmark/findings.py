"""The question of a report and its short answer."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import compared_metrics, ranked
from vitatt.reports.cells import count, interval
from vitatt.reports.templates import paragraphs

SIGNIFICANCE = 0.05
"""Differences with a smaller p after Holm's correction are called significant."""

_TEMPLATE = "benchmark/findings.txt.jinja"


def question(facts: Facts) -> list[str]:
    """The question of the comparison, or of the test run."""
    return paragraphs(_TEMPLATE, block="question", facts=facts)


def findings(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """For each main metric, the highest arm and the number of significant differences."""
    lines = []
    for metric in compared_metrics(tables["arms"], facts):
        best = ranked(tables["arms"], metric)[0]
        row = tables["arms"].row(
            by_predicate=(pl.col("arm") == best)
            & (pl.col("cases") == "all")
            & (pl.col("metric") == metric),
            named=True,
        )
        lines += paragraphs(
            _TEMPLATE,
            block="finding",
            facts=facts,
            metric=metric,
            best=facts.arm_title(best),
            reference=facts.arm_title(facts.reference),
            value=str(interval(row["value"], row["low"], row["high"])),
            where=f"{count(row['n'])} cases of {row['groups']:,} {facts.group}s",
            **(_significant(tables["pairs"], metric) if facts.compared else {}),
        )
    return lines


def verdict(difference: float, p: float | None) -> str:
    """Whether a difference is significant, in words.

    Args:
        difference: Arm minus reference.
        p: After Holm's correction; None where undefined.
    """
    if p is None or p >= SIGNIFICANCE:
        return "not significantly different"
    return "significantly lower" if difference < 0 else "significantly higher"


def _significant(pairs: pl.DataFrame, metric: str) -> dict[str, int]:
    """Number of other arms, and of those significantly lower and higher than the reference."""
    of_metric = pairs.filter(pl.col("metric") == metric)
    significant = of_metric.filter(pl.col("p_holm") < SIGNIFICANCE)["difference"]
    lower = int((significant < 0).sum())
    return {"others": of_metric.height, "lower": lower, "higher": len(significant) - lower}
