"""From frames to the pictures of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.figures import BINS
from vitatt.evaluation.out_of_fold import arrays, average_seeds
from vitatt.evaluation.ranks import ranks_picture
from vitatt.evaluation.report_cells import p_words
from vitatt.evaluation.report_facts import Facts
from vitatt.evaluation.report_page import Picture
from vitatt.evaluation.report_plots import forest_picture, reliability_picture
from vitatt.evaluation.report_tables import SETS, ranked

_ROOM = 26


def forests(arms: pl.DataFrame, facts: Facts, figures: Sequence[str]) -> list[Picture]:
    """Value and interval of each arm, a picture a figure; the reference as a line."""
    return [_forest(arms, facts, figure) for figure in figures]


def reliability(predictions: pl.DataFrame, facts: Facts) -> Picture:
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
    return Picture(
        reliability_picture(curves, bins=BINS),
        f"Reliability diagram of {title}: share predicted right over confidence, "
        f"{' and '.join(curves)}; below it the number of cases in each of {BINS} bins.",
        f"{title}, all {averaged.height:,} cases, in {BINS} bins of confidence. Points of few "
        "cases scatter: see the counts below.",
    )


def critical_difference(ranks: pl.DataFrame, facts: Facts) -> list[Picture]:
    """Mean ranks of the arms, and which are not told apart; nothing without a test of them."""
    if ranks["critical_difference"].null_count() or ranks["mean_rank"].null_count():
        return []
    figure, blocks, p = ranks.row(0, named=True), ranks["blocks"][0], ranks["friedman_p"][0]
    name = figure["figure"]
    friedman = "" if p is None else f" Friedman test that all arms rank alike: {p_words(p)}."
    return [
        Picture(
            ranks_picture(
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
    """The title, or the name where the picture has no room for it."""
    title = facts.arm_title(arm)
    return title if len(title) <= _ROOM else arm


def _forest(arms: pl.DataFrame, facts: Facts, figure: str) -> Picture:
    names = ranked(arms, figure)
    of_figure = arms.filter(pl.col("figure") == figure)
    series, sizes = {}, []
    for cases, title in SETS.items():
        part = of_figure.filter(pl.col("cases") == cases)
        if part.is_empty():
            continue
        rows = {row["arm"]: row for row in part.iter_rows(named=True)}
        values = [[rows[arm][key] for key in ("value", "low", "high")] for arm in names]
        size = f"{title}, n = {part['n'][0]:,}"
        series[size] = np.array(values, dtype=np.float64)
        sizes.append(size)
    of_reference = of_figure.filter(cases="all", arm=facts.reference)["value"][0]
    title = facts.arm_title(facts.reference)
    return Picture(
        forest_picture(
            [facts.arm_title(arm) for arm in names],
            series,
            xlabel=f"{figure}\n(95 % interval)".replace(" %", "\N{NO-BREAK SPACE}%"),
            ylabel="arm",
            line=of_reference,
            line_label=f"{title}, all cases",
        ),
        f"Forest plot: {figure} of each arm with its 95 % interval, {'; '.join(sizes)}. The "
        "figures are those of the table above.",
        f"{figure[0].upper()}{figure[1:]}, 0 to 1, higher is better.",
    )
