"""The first three experiments: the image only, all metadata, and the five strongest features."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.findings import verdict
from vitatt.reports.benchmark.tables import arms_table
from vitatt.reports.cells import interval, p_words
from vitatt.reports.section import Section
from vitatt.reports.templates import paragraphs

_TEMPLATE = "benchmark/findings.txt.jinja"


def experiments(facts: Facts) -> dict[str, str]:
    """The three arms by the input they use, or none of them if one is absent.

    An arm is recognised by its name, letters and digits alone: ``imageonly``; one that ends in
    ``hc5``; and for all metadata the one with the name before ``hc5`` (``vitatt`` for
    ``vitatt_hc5``), else the reference.
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
    """A section that compares the three, if a benchmark has them."""
    named = experiments(facts)
    if not named:
        return []
    pairs = tables["pairs"]
    points = []
    for metric in pairs["metric"].unique(maintain_order=True):
        of_metric = {row["arm"]: row for row in pairs.filter(metric=metric).iter_rows(named=True)}
        for name, arm in named.items():
            if arm in of_metric:
                points += _difference(name, of_metric[arm], facts, metric)
    table = arms_table(
        tables["arms"],
        facts,
        metrics,
        "Image only, all metadata, HC-5: value [95 % interval]",
        only=list(named.values()),
    )
    return [
        Section(
            "First three experiments",
            paragraphs(_TEMPLATE, block="experiments", facts=facts),
            points,
            tables=[table],
            strong=True,
        )
    ]


def _difference(name: str, row: Mapping[str, Any], facts: Facts, metric: str) -> list[str]:
    """One comparison with the reference, as a sentence."""
    return paragraphs(
        _TEMPLATE,
        block="difference",
        metric=metric,
        arm=name,
        reference=facts.arm_title(facts.reference),
        difference=str(interval(row["difference"], row["low"], row["high"])),
        p=p_words(row["p"]),
        p_holm=p_words(row["p_holm"]),
        verdict=verdict(row["difference"], row["p_holm"]),
    )
