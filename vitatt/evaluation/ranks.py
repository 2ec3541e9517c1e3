"""Mean ranks of arms over folds, and which of them cannot be told apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from vitatt.evaluation.figures import COMPARED
from vitatt.evaluation.out_of_fold import score_folds
from vitatt.explain.canvas import pixels_of
from vitatt.explain.ink import BLUE, GREY, INK, PAPER
from vitatt.types import UsageError


def rank_arms(predictions: pl.DataFrame, classes: Sequence[str], figure: str) -> pl.DataFrame:
    """Mean rank of each arm over the outer folds, 1 being the best, ties sharing their ranks.

    A block is a fold, its figure averaged over the seeds: seeds of a fold share their test cases
    and most training cases, and counted as blocks they would feign more data than there is. The
    Friedman test asks whether any arm ranks differently at all (Demsar 2006, section 3.2.2).

    Args:
        predictions: As `vitatt.evaluation.out_of_fold` has them.
        classes: Class names.
        figure: A name in `COMPARED`.

    Returns:
        A row an arm, best first: ``figure``, ``arm``, ``mean_rank``, and the same in all rows
        ``blocks``, ``friedman_p`` (null with fewer than three arms or two blocks) and
        ``critical_difference`` at 0.05 (null with one arm).

    Raises:
        UsageError: If the figure is none to compare by.
    """
    if figure not in COMPARED:
        raise UsageError(
            f"Expected a figure to rank by among {', '.join(COMPARED)}, but got '{figure}'."
        )
    trainings = score_folds(predictions, classes, {figure: COMPARED[figure]})
    blocks = (
        trainings.group_by("fold", "arm", maintain_order=True)
        .agg(pl.col(figure).mean())
        .pivot("arm", index="fold", values=figure)
        .drop("fold")
        .drop_nulls()
    )
    count, arms = blocks.shape
    scores = blocks.to_numpy()
    ranks = rankdata(-scores, axis=1).mean(0) if count else np.full(arms, np.nan)
    # If all arms tie in every fold, the test divides 0 by 0.
    testable = arms > 2 and count > 1 and bool(np.ptp(scores, axis=1).any())
    return (
        pl.DataFrame({"arm": blocks.columns, "mean_rank": ranks})
        .select(
            pl.lit(figure).alias("figure"),
            "arm",
            pl.col("mean_rank").fill_nan(None),
            pl.lit(count, pl.Int64).alias("blocks"),
            pl.lit(
                float(friedmanchisquare(*scores.T).pvalue) if testable else None, pl.Float64
            ).alias("friedman_p"),
            pl.lit(
                critical_difference(arms, count) if arms > 1 and count else None, pl.Float64
            ).alias("critical_difference"),
        )
        .sort("mean_rank", nulls_last=True, maintain_order=True)
    )


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Difference from which on two mean ranks differ, by the Nemenyi test.

    q sqrt(k (k + 1) / (6 n)), q from the studentised range over sqrt(2) (Demsar 2006, section
    3.2.2, table 5a).

    Args:
        k: Number of arms, at least 2.
        n: Number of blocks.
        alpha: Chance that any of equal arms seem to differ.
    """
    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def ranks_picture(
    labels: Sequence[str], mean_ranks: ArrayLike, critical_difference: float, *, xlabel: str
) -> NDArray[np.uint8]:
    """Draw a critical-difference plot: a row an arm, and a bar along those not told apart.

    The classic plot has the arms around one axis, which holds some ten names; here each has a row.

    Args:
        labels: Names of the N arms, at least two.
        mean_ranks: (N,).
        critical_difference: From this difference on, arms are told apart.
        xlabel: What is ranked.

    Returns:
        The picture (H, 1280, 3), best arm on top.
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    order = np.argsort(ranks, kind="stable")
    ranks = ranks[order]
    alike = not_told_apart(ranks, critical_difference)
    names = [textwrap.fill(labels[n], _LETTERS, max_lines=2, placeholder="…") for n in order]
    size = (_WIDTH, 1.9 + (0.48 if any("\n" in name for name in names) else 0.3) * len(ranks))
    figure = Figure(figsize=size, dpi=200, layout="constrained", facecolor=PAPER)
    share = 0.2 + 0.04 * len(alike)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, share))
    rows = np.arange(len(ranks))
    left.plot(ranks, rows, "o", color=BLUE, markersize=8)
    left.set_yticks(rows, names)
    left.set_ylim(len(ranks) - 0.4, -1.6)
    left.set_xlim(1 - 0.03 * len(ranks), len(ranks) * 1.03)
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.set_xlabel(xlabel, fontsize=_FONT)
    left.grid(axis="x", color=GREY, alpha=0.25)
    _scale(left, critical_difference, len(ranks))
    for column, (first, last) in enumerate(alike):
        right.plot([column, column], [first - 0.25, last + 0.25], color=INK, linewidth=3.5)
    right.set_xlim(-0.8, max(len(alike), 1) - 0.2)
    right.set_xticks([])
    right.set_title("not told\napart", fontsize=_FONT, color=INK)
    for axes in (left, right):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=_FONT)
        axes.grid(axis="y", color=GREY, alpha=0.25)
        axes.set_axisbelow(True)
    return pixels_of(figure)


def not_told_apart(ranks: NDArray[np.float64], difference: float) -> list[tuple[int, int]]:
    """Runs of arms, each less than the critical difference wide, that no other such run contains.

    Args:
        ranks: Mean ranks in increasing order, (N,).
        difference: The critical difference.

    Returns:
        First and last position of each run of at least two.
    """
    last = np.searchsorted(ranks, ranks + difference, side="left") - 1
    return [
        (first, int(end))
        for first, end in enumerate(last)
        if end > first and (first == 0 or end > last[first - 1])
    ]


# Inches, and points. Shown 640 pixels wide, 12 points are 17 pixels: readable on a phone as well.
_WIDTH = 6.4
_FONT = 12
_LETTERS = 26  # of a line; a name has at most two


def _scale(axes: Axes, difference: float, arms: int) -> None:
    """The critical difference as a length, above the arms."""
    shown = min(difference, arms - 1)  # a longer one has no room, and separates nothing
    axes.plot([1, 1 + shown], [-1, -1], color=INK, linewidth=2, marker="|", markersize=10)
    axes.set_title(f"critical difference {difference:.1f}", fontsize=_FONT, loc="left", color=INK)
