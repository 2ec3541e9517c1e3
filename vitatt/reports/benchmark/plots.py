"""From frames to the plots of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.metrics import BINS
from vitatt.evaluation.out_of_fold import arrays, average_seeds
from vitatt.plotting.comparison import forest_figure, reliability_figure
from vitatt.plotting.ranks import ranks_figure
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import SETS, ranked
from vitatt.reports.cells import p_words
from vitatt.reports.page import Plot

_ROOM = 26


def forests(arms: pl.DataFrame, facts: Facts, metrics: Sequence[str]) -> list[Plot]:
    """Value and interval of each arm, a plot a metric; the reference as a line."""
    return [_forest(arms, facts, metric) for metric in metrics]


def reliability(predictions: pl.DataFrame, facts: Facts) -> Plot:
    """How sure and how right the reference arm is, before and after temperature scaling."""
    averaged = average_seeds(predictions.filter(pl.col("arm") == facts.reference))
    prefixes = {"p_": "as the network gives them"}
    if not facts.one_model:
        prefixes["q_"] = "after temperature scaling"
    curves = {}
    for prefix, name in prefixes.items():
        probabilities, targets, _ = arrays(averaged, facts.classes, prefixes=(prefix,))
        curves[name] = reliability_curve(probabilities, targets)
    title = facts.arm_title(facts.reference)
    return Plot(
        reliability_figure(curves, bins=BINS),
        f"Reliability diagram of {title}: share predicted right over confidence, "
        f"{' and '.join(curves)}; below it the number of cases in each of {BINS} bins.",
        f"{title}, all {averaged.height:,} cases, in {BINS} bins of confidence. Points of few "
        "cases scatter: see the counts below.",
    )


def critical_difference(ranks: pl.DataFrame, facts: Facts) -> list[Plot]:
    """Mean ranks of the arms, and which are not told apart; nothing without a test of them."""
    if ranks["critical_difference"].null_count() or ranks["mean_rank"].null_count():
        return []
    metric, blocks, p = ranks.row(0, named=True), ranks["blocks"][0], ranks["friedman_p"][0]
    name = metric["metric"]
    friedman = "" if p is None else f" Friedman test that all arms rank alike: {p_words(p)}."
    return [
        Plot(
            ranks_figure(
                [_short(arm, facts) for arm in ranks["arm"]],
                ranks["mean_rank"],
                ranks["critical_difference"][0],
                xlabel=f"mean rank by {name}, 1 is best",
            ),
            f"Critical-difference plot: mean rank of each of {ranks.height} arms by {name} over "
            f"{blocks} outer folds; bars join arms that are not told apart.",
            f"Ranks within each of {blocks} outer folds, seeds averaged. Bars join arms whose mean "
            "ranks differ by less than the critical difference (Nemenyi test, 0.05; Demšar 2006)."
            + friedman,
        )
    ]


def reliability_curve(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean confidence, share predicted right and cases of each bin of the calibration error.

    Args:
        probabilities: (N, C).
        targets: (N,).

    Returns:
        Three times (15,), NaN in an empty bin.
    """
    confidence = probabilities.max(1)
    right = (probabilities.argmax(1) == targets).astype(np.float64)
    edges = np.linspace(0, 1, BINS + 1)
    bins = (np.digitize(confidence, edges, right=True) - 1).clip(0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, values, BINS) / count for values in (confidence, right)]
    return means[0], means[1], count


def _short(arm: str, facts: Facts) -> str:
    """The title, or the name where the plot has no room for it."""
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
        f"{metric[0].upper()}{metric[1:]}, 0 to 1, higher is better.",
    )
