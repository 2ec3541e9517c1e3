"""Tables of differences between arms, and of metrics and gaps of subgroups."""

from __future__ import annotations

import polars as pl

from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.cells import Cell, interval, number, p_value
from vitatt.reports.section import Column, Table


def pairs_tables(pairs: pl.DataFrame, facts: Facts) -> list[Table]:
    """One table for each metric: difference of each arm to the reference.

    Args:
        pairs: As `compare_arms` gives it.
        facts: The protocol.
    """
    return [_pairs(pairs, facts, name) for name in pairs["metric"].unique(maintain_order=True)]


def _pairs(pairs: pl.DataFrame, facts: Facts, metric: str) -> Table:
    """Difference of each arm to the reference, with p before and after Holm's correction."""
    rows = [
        [
            Cell(facts.arm_title(row["arm"])),
            _signed(row["difference"], row["low"], row["high"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            number(row["pairs"], 0),
        ]
        for row in pairs.filter(pl.col("metric") == metric)
        .sort("difference", descending=True, nulls_last=True)
        .iter_rows(named=True)
    ]
    columns = [
        Column("arm", number=False),
        Column("difference", "arm minus reference [95 %]"),
        Column("p", "single comparison"),
        Column("p, Holm", "all arms of the table"),
        Column("folds", "pairs"),
    ]
    return Table(f"{metric}: arm minus {facts.arm_title(facts.reference)}", columns, rows)


def subgroup_tables(subgroups: pl.DataFrame, gaps: pl.DataFrame, facts: Facts) -> list[Table]:
    """Metrics of the subgroups of each attribute, then the largest gaps.

    Args:
        subgroups: As `score_subgroups` gives it.
        gaps: As `largest_gaps` gives it.
        facts: The protocol.
    """
    metrics = subgroups["metric"].unique(maintain_order=True).to_list()

    def label(attribute: str) -> str:
        return facts.feature_labels.get(attribute, attribute)

    tables = []
    for (attribute,), part in subgroups.group_by("attribute", maintain_order=True):
        rows = []
        for (name, small), of_one in part.group_by("subgroup", "small", maintain_order=True):
            scores = {row["metric"]: row for row in of_one.iter_rows(named=True)}
            rows.append(
                [
                    Cell(str(name), tag="small" if small else ""),
                    number(of_one["n"][0], 0),
                    number(of_one["groups"][0], 0),
                    *(
                        interval(*(scores[metric][key] for key in ("value", "low", "high")))
                        if metric in scores
                        else Cell("–")
                        for metric in metrics
                    ),
                ]
            )
        columns = [
            Column(label(str(attribute)), number=False),
            Column("cases", "n"),
            Column(f"{facts.group}s", "n"),
            *(Column(metric, "value [95 %]") for metric in metrics),
        ]
        tables.append(Table(f"By {label(str(attribute))}", columns, rows))
    gap_rows = [
        [
            Cell(label(row["attribute"])),
            Cell(row["metric"]),
            number(row["gap"]),
            Cell(row["highest"] or "–"),
            Cell(row["lowest"] or "–"),
        ]
        for row in gaps.iter_rows(named=True)
    ]
    heads = ("attribute", "metric", "largest gap", "highest", "lowest")
    columns = [Column(head, number=head == "largest gap") for head in heads]
    return [*tables, Table("Largest gap between subgroups", columns, gap_rows)]


def _signed(value: float, low: float, high: float) -> Cell:
    """A cell with a difference and its interval, positive ones with a plus."""
    cell = interval(value, low, high)
    return Cell(f"+{cell.text}", cell.value, cell.note) if (cell.value or 0) > 0 else cell
