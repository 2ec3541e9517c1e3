"""Tables of a benchmark from its pooled predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.comparison import compare_arms
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.evaluation.ranks import rank_arms
from vitatt.evaluation.subgroups import score_subgroups
from vitatt.files import write_frame
from vitatt.types import PositiveClass

BY = "balanced accuracy"
"""The metric that arms are ranked and sorted by."""


def write_tables(
    predictions: pl.DataFrame,
    folder: Path,
    *,
    classes: Sequence[str],
    features: Sequence[str],
    subgroups: Sequence[str],
    reference: str,
    positive: PositiveClass | None,
    bands: Mapping[str, Sequence[float]],
) -> dict[str, pl.DataFrame]:
    """All tables of a benchmark, by name, each also as CSV.

    Args:
        predictions: Out-of-fold, of all arms.
        folder: For the CSV files.
        classes: Class names.
        features: Metadata columns that decide whether a case is complete.
        subgroups: Columns whose subgroups the reference arm is scored on.
        reference: The arm that others are compared with.
        positive: The class that is most harmful to miss, if it is known.
        bands: Of numeric subgroups, see `score_subgroups`.
    """
    of_reference = average_seeds(predictions.filter(arm=reference))
    tables = {
        "arms": score_arms(predictions, classes, features, positive),
        "pairs": compare_arms(predictions, classes, reference, positive),
        "ranks": rank_arms(predictions, classes, BY),
        "subgroups": score_subgroups(
            of_reference, classes, subgroups, bands=bands, positive=positive
        ),
    }
    for name, table in tables.items():
        write_frame(table, folder / f"{name}.csv")
    return tables


def lines(tables: dict[str, pl.DataFrame]) -> list[str]:
    """The main table as lines of text: all cases, seeds averaged, best first."""
    scored = tables["arms"].filter(cases="all")
    area = "AUROC" if "AUROC" in scored["metric"] else "macro AUROC"
    width = max(len(name) for name in scored["arm"])
    best = scored.filter(metric=BY).sort("value", descending=True, nulls_last=True)
    shown = []
    for arm in best["arm"]:
        metrics = [
            "{value:.3f} [{low:.3f}, {high:.3f}], one model {single:.3f}".format(
                **scored.row(
                    by_predicate=(pl.col("arm") == arm) & (pl.col("metric") == metric), named=True
                )
            )
            for metric in (BY, area)
        ]
        shown.append(f"{arm:{width}}  {metrics[0]}   AUROC {metrics[1]}")
    return shown
