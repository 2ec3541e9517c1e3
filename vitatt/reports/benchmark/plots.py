"""Plots of a report of a benchmark or a test run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from vitatt.evaluation.calibration import reliability_curve
from vitatt.evaluation.metrics import PARTIAL_AUROC
from vitatt.evaluation.out_of_fold import arrays, average_seeds
from vitatt.plotting.forest import forest_figure
from vitatt.plotting.ranks import ranks_figure
from vitatt.plotting.reliability import reliability_figure
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import SETS, ranked
from vitatt.reports.cells import p_words
from vitatt.reports.section import Plot
from vitatt.types import CALIBRATION_BINS

_ROOM = 26  # letters of a name in the critical-difference plot


def forests(arms: pl.DataFrame, facts: Facts, metrics: Sequence[str]) -> list[Plot]:
    """One forest plot for each metric: value and interval of each arm, the reference as a line."""
    return [_forest(arms, facts, metric) for metric in metrics]


def reliability(predictions: pl.DataFrame, facts: Facts) -> Plot:
    """Reliability diagram of the reference arm, before and after temperature scaling."""
    averaged = average_seeds(predictions.filter(pl.col("arm") == facts.reference))
    prefixes = {"p_": "before temperature scaling", "q_": "after temperature scaling"}
    if facts.one_model:
        prefixes = {"p_": "predicted probabilities"}
    curves = {}
    for prefix, name in prefixes.items():
        probabilities, targets, _ = arrays(averaged, facts.classes, prefixes=(prefix,))
        curves[name] = reliability_curve(probabilities, targets)
    title = facts.arm_title(facts.reference)
    return Plot(
        reliability_figure(curves),
        f"Reliability diagram of {title}: share predicted right over confidence, "
        f"{' and '.join(curves)}; below it the number of cases in each of {CALIBRATION_BINS} bins.",
        f"{title}, all {averaged.height:,} cases, in {CALIBRATION_BINS} bins of confidence. Points "
        "of few cases vary by chance: see the numbers of cases below.",
    )


def critical_difference(ranks: pl.DataFrame, facts: Facts) -> list[Plot]:
    """Critical-difference plot of the mean ranks; none if the arms could not be tested."""
    if ranks["critical_difference"].null_count() or ranks["mean_rank"].null_count():
        return []
    metric, blocks, p = ranks.row(0, named=True), ranks["blocks"][0], ranks["friedman_p"][0]
    name = metric["metric"]
    friedman = "" if p is None else f" Friedman test of equal ranks: {p_words(p)}."
    return [
        Plot(
            ranks_figure(
                [_short(arm, facts) for arm in ranks["arm"]],
                ranks["mean_rank"],
                ranks["critical_difference"][0],
                xlabel=f"mean rank by {name}, 1 is best",
            ),
            f"Critical-difference plot: mean rank of each of {ranks.height} arms by {name} over "
            f"{blocks} outer folds; bars join arms that do not differ significantly.",
            f"Ranks within each of {blocks} outer folds, seeds averaged. Bars join arms whose mean "
            "ranks differ by less than the critical difference (Nemenyi test, 0.05; Demšar 2006)."
            + friedman,
        )
    ]


def _short(arm: str, facts: Facts) -> str:
    """The title, or the name if the plot has no room for the title."""
    title = facts.arm_title(arm)
    return title if len(title) <= _ROOM else arm


def _forest(arms: pl.DataFrame, facts: Facts, metric: str) -> Plot:
    names = ranked(arms, metric)
    of_metric = arms.filter(pl.col("metric") == metric)
    series, sizes = {}, []
    for cases, title in SETS.items():
        part = of_metric.filter(pl.col("cases") == cases)
        if part.is_empty():
            continue
        rows = {row["arm"]: row for row in part.iter_rows(named=True)}
        values = [[rows[arm][key] for key in ("value", "low", "high")] for arm in names]
        size = f"{title}, n = {part['n'][0]:,}"
        series[size] = np.array(values, dtype=np.float64)
        sizes.append(size)
    of_reference = of_metric.filter(cases="all", arm=facts.reference)["value"][0]
    title = facts.arm_title(facts.reference)
    return Plot(
        forest_figure(
            [facts.arm_title(arm) for arm in names],
            series,
            xlabel=f"{metric}\n(95 % interval)".replace(" %", "\N{NO-BREAK SPACE}%"),
            ylabel="arm",
            line=of_reference,
            line_label=f"{title}, all cases",
        ),
        f"Forest plot: {metric} of each arm with its 95 % interval, {'; '.join(sizes)}. The "
        "metrics are those of the table above.",
        f"{metric[0].upper()}{metric[1:]}, 0 to {0.2 if metric == PARTIAL_AUROC else 1}, higher is "
        "better.",
    )
