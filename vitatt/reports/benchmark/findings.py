"""The question of a report, and its answer in short."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from vitatt.evaluation.metrics import COMPARED
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import ranked
from vitatt.reports.cells import interval


def question(facts: Facts) -> str:
    """What the comparison is to answer."""
    if facts.question:
        return facts.question
    if facts.one_model:
        return (
            f"How well does this model diagnose the {facts.group}s of {facts.title} that it never "
            "saw?"
        )
    return (
        f"How do {len(facts.arms)} ways to use image and metadata compare on {facts.title}, under "
        "one protocol?"
    )


def findings(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """The answer in short: the highest arm, and which differences to the reference are clear."""
    arms = tables["arms"]
    lines = []
    for metric in COMPARED:
        best = ranked(arms, metric)[0]
        row = arms.row(
            by_predicate=(pl.col("arm") == best)
            & (pl.col("cases") == "all")
            & (pl.col("metric") == metric),
            named=True,
        )
        cell = interval(row["value"], row["low"], row["high"])
        value = f"{cell.text} {cell.note}"
        where = f"n = {row['n']:,} cases of {row['groups']:,} {facts.group}s"
        if not facts.compared:
            lines.append(f"{metric[0].upper()}{metric[1:]} {value}, {where}.")
            continue
        pairs = tables["pairs"].filter(pl.col("metric") == metric)
        clear = pairs.filter(pl.col("p_holm") < 0.05)
        below = clear.filter(pl.col("difference") < 0).height
        lines.append(
            f"Highest {metric}: {facts.arm_title(best)}, {value}, {where}. Compared with "
            f"{facts.arm_title(facts.reference)}, {below} of {pairs.height} other arms are clearly "
            f"lower and {clear.height - below} clearly higher (p below 0.05 after Holm); "
            f"{pairs.height - clear.height} cannot be told apart from it."
        )
    return lines
