"""The first three experiments: the image only, all metadata, and the five strongest features."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import arms_table
from vitatt.reports.cells import interval, p_words
from vitatt.reports.page import Section


def experiments(facts: Facts) -> dict[str, str]:
    """The three arms by what they see, or none of them if one is absent.

    An arm is known by its name, letters and digits alone: ``imageonly``; one that ends in ``hc5``;
    and for all metadata the one that the latter is called after (``vitatt`` for ``vitatt_hc5``),
    else the reference.
    """
    arms = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in facts.arms}
    of_five = [name for name in arms if name.endswith("hc5")]
    if "imageonly" not in arms or not of_five:
        return {}
    everything = arms.get(of_five[0].removesuffix("hc5"), facts.reference)
    return {
        "image only": arms["imageonly"],
        "all metadata": everything,
        "HC-5": arms[of_five[0]],
    }


def experiments_section(
    facts: Facts, tables: Mapping[str, pl.DataFrame], metrics: Sequence[str]
) -> list[Section]:
    """The three compared, where a benchmark has them."""
    named = experiments(facts)
    if not named:
        return []
    pairs = tables["pairs"]
    points = []
    for metric in pairs["metric"].unique(maintain_order=True):
        of_metric = {row["arm"]: row for row in pairs.filter(metric=metric).iter_rows(named=True)}
        for what, arm in named.items():
            if arm in of_metric:
                points.append(_difference(what, of_metric[arm], facts, metric))
    return [
        Section(
            "First three experiments",
            [
                "What the metadata adds: the same network with the image alone, with all "
                f"{len(facts.features)} metadata features, and with the five that go most with the "
                "diagnosis in the training split of each fold (HC-5)."
            ],
            points,
            tables=[
                arms_table(
                    tables["arms"],
                    facts,
                    metrics,
                    "Image only, all metadata, HC-5: value [95 % interval]",
                    only=list(named.values()),
                )
            ],
            strong=True,
        )
    ]


def _difference(what: str, row: Mapping[str, float], facts: Facts, metric: str) -> str:
    """One comparison with the reference, in words."""
    cell = interval(row["difference"], row["low"], row["high"])
    verdict = "not told apart"
    if row["p_holm"] is not None and row["p_holm"] < 0.05:
        verdict = "clearly lower" if row["difference"] < 0 else "clearly higher"
    return (
        f"{metric[0].upper()}{metric[1:]}, {what} less {facts.arm_title(facts.reference)}: "
        f"{cell.text} {cell.note}, {p_words(row['p'])}, after Holm {p_words(row['p_holm'])}: "
        f"{verdict}."
    )
