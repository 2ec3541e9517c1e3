"""Critical-difference plots."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vitatt.evaluation.ranks import similar_runs
from vitatt.plotting.canvas import new_figure, pixels_of, plain_axes
from vitatt.plotting.style import BLUE, FONT, GREY, INK

_WIDTH = 6.4  # inches
_LETTERS = 26  # in a line; a name has at most two lines


def ranks_figure(
    labels: Sequence[str], mean_ranks: ArrayLike, critical_difference: float, *, xlabel: str
) -> NDArray[np.uint8]:
    """Draw a critical-difference plot: mean ranks, and bars along arms that do not differ.

    The plot of Demsar 2006 writes the names around one axis, which has room for about ten arms.
    Here each arm has its own row.

    Args:
        labels: Names of the N arms, at least two.
        mean_ranks: (N,).
        critical_difference: Smallest significant difference of two mean ranks.
        xlabel: Name of the ranks.

    Returns:
        The figure (H, 1280, 3), best arm on top.
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    order = np.argsort(ranks, kind="stable")
    ranks = ranks[order]
    alike = similar_runs(ranks, critical_difference)
    names = [textwrap.fill(labels[n], _LETTERS, max_lines=2, placeholder="…") for n in order]
    row_height = 0.48 if any("\n" in name for name in names) else 0.3
    figure = new_figure(_WIDTH, 1.9 + row_height * len(ranks))
    share = max(0.32, 0.2 + 0.04 * len(alike))  # wide enough for the title
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, share))
    rows = np.arange(len(ranks))
    left.plot(ranks, rows, "o", color=BLUE, markersize=8)
    left.set_yticks(rows, names)
    left.set_ylim(len(ranks) - 0.4, -1.6)
    left.set_xlim(1 - 0.03 * len(ranks), len(ranks) * 1.03)
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.set_xlabel(xlabel, fontsize=FONT)
    left.grid(axis="x", color=GREY, alpha=0.25)
    _scale(left, critical_difference, len(ranks))
    for column, (first, last) in enumerate(alike):
        right.plot([column, column], [first - 0.25, last + 0.25], color=INK, linewidth=3.5)
    right.set_xlim(-0.8, max(len(alike), 1) - 0.2)
    right.set_xticks([])
    right.set_title("not\nsignificant", fontsize=FONT, color=INK)
    for axes in (left, right):
        plain_axes(axes, hidden=("top", "right", "bottom", "left"))
        axes.tick_params(length=0)
        axes.grid(axis="y", color=GREY, alpha=0.25)
    return pixels_of(figure)


def _scale(axes: Axes, difference: float, arms: int) -> None:
    """Draw the critical difference as a line above the arms, at most as long as the axis."""
    shown = min(difference, arms - 1)
    axes.plot([1, 1 + shown], [-1, -1], color=INK, linewidth=2, marker="|", markersize=10)
    axes.set_title(f"critical difference {difference:.1f}", fontsize=FONT, loc="left", color=INK)
