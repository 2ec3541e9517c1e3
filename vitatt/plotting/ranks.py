"""The critical-difference plot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vitatt.evaluation.ranks import not_told_apart
from vitatt.plotting.canvas import pixels_of
from vitatt.plotting.style import BLUE, GREY, INK, PAPER


def ranks_figure(
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
        The figure (H, 1280, 3), best arm on top.
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


# Inches, and points. Shown 640 pixels wide, 12 points are 17 pixels: readable on a phone as well.
_WIDTH = 6.4
_FONT = 12
_LETTERS = 26  # of a line; a name has at most two


def _scale(axes: Axes, difference: float, arms: int) -> None:
    """The critical difference as a length, above the arms."""
    shown = min(difference, arms - 1)  # a longer one has no room, and separates nothing
    axes.plot([1, 1 + shown], [-1, -1], color=INK, linewidth=2, marker="|", markersize=10)
    axes.set_title(f"critical difference {difference:.1f}", fontsize=_FONT, loc="left", color=INK)
