"""Figures of a report, drawn twice as large as they are shown, for sharp screens."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitatt.plotting.canvas import pixels_of
from vitatt.plotting.style import BLUE, GREY, PAPER, VERMILION

# Inches at 200 dots each, shown at half size: 5.5 are 550 pixels, of which 12-point letters are 17.
_WIDTH = 5.5
_LETTERS = 26  # in a line
_FONT = 12

_SERIES: tuple[tuple[str, str, str], ...] = ((BLUE, "o", BLUE), (VERMILION, "D", PAPER))
"""Colour, mark and filling; the second one is hollow, so that grey prints differ too."""


def forest_figure(
    labels: Sequence[str],
    series: Mapping[str, NDArray[np.float64]],
    *,
    xlabel: str,
    ylabel: str,
    line: float | None = None,
    line_label: str = "",
) -> NDArray[np.uint8]:
    """Draw a row a label: a point with its interval for each series.

    Args:
        labels: Names of the N rows, from the top.
        series: Value, lower and upper end of each row, (N, 3), NaN for none; by the series' name.
            At most two.
        xlabel: What the values are, with their unit; long lines are broken.
        ylabel: What the rows are.
        line: A value to compare with, drawn as a line through all rows.
        line_label: What the line is.

    Returns:
        The figure (H, W, 3).
    """
    wrapped = [textwrap.fill(label, _LETTERS) for label in labels]
    lines = max(label.count("\n") + 1 for label in wrapped)
    figure, axes = _figure(1.8 + max(0.4, 0.1 + 0.19 * lines) * len(labels), xlabel, ylabel)
    rows = np.arange(len(labels))
    apart = np.linspace(-0.18, 0.18, len(series)) if len(series) > 1 else [0.0]
    for (name, values), offset, (colour, mark, filling) in zip(
        series.items(), apart, _SERIES, strict=False
    ):
        value, low, high = values.T
        style: dict[str, Any] = {"color": colour, "markerfacecolor": filling, "markersize": 7}
        reach = np.maximum([value - low, high - value], 0)
        axes.errorbar(
            value,
            rows + offset,
            xerr=reach,
            fmt=mark,
            elinewidth=1.6,
            capsize=3,
            label=name,
            **style,
        )
    if line is not None:
        axes.axvline(line, color=GREY, linestyle="--", linewidth=1.3, label=line_label, zorder=1)
    axes.set_yticks(rows, wrapped)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _legend(figure, axes)
    return pixels_of(figure)


def reliability_figure(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]],
    *,
    bins: int,
) -> NDArray[np.uint8]:
    """Draw how often predictions of each confidence are right, and how many there are.

    Args:
        curves: Mean confidence, share predicted right and number of cases of each bin, (bins,),
            NaN where it is empty; by the curve's name. At most two.
        bins: Number of bins, of equal width.

    Returns:
        The figure (H, W, 3).
    """
    figure = Figure(figsize=(_WIDTH, 6.2), dpi=200, layout="constrained", facecolor=PAPER)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(
        [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.3, label="as often right as sure"
    )
    edges = np.linspace(0, 1, bins + 1)
    for (name, (confidence, right, count)), (colour, mark, filling) in zip(
        curves.items(), _SERIES, strict=False
    ):
        known = ~np.isnan(confidence)
        style: dict[str, Any] = {"color": colour, "markerfacecolor": filling, "linewidth": 1.8}
        upper.plot(confidence[known], right[known], marker=mark, markersize=7, label=name, **style)
        dashes = "-" if filling == colour else "--"
        lower.stairs(count, edges, color=colour, linewidth=1.8, linestyle=dashes)
    upper.set_ylabel("share predicted right", fontsize=_FONT)
    upper.set_ylim(-0.03, 1.03)
    lower.set_ylabel("cases", fontsize=_FONT)
    lower.set_xlabel("confidence: probability of the predicted class", fontsize=_FONT)
    lower.set_xlim(0, 1)
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in (upper, lower):
        _plain(axes)
        axes.grid(color=GREY, alpha=0.25)
    _legend(figure, upper)
    return pixels_of(figure)


def _figure(height: float, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), dpi=200, layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot()
    lines = [textwrap.fill(line, _LETTERS) for line in xlabel.splitlines()]
    axes.set_xlabel("\n".join(lines), fontsize=_FONT)
    axes.set_ylabel(ylabel, fontsize=_FONT)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_FONT)
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", fontsize=_FONT, frameon=False, ncols=1)
