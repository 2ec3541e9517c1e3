"""Forest plots."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitatt.plotting.canvas import legend_above, new_figure, pixels_of, plain_axes
from vitatt.plotting.style import FONT, GREY, SERIES

_WIDTH = 5.5  # inches
_LETTERS = 26  # in a line
_LEGEND = 46  # letters in a line of the legend


def forest_figure(
    labels: Sequence[str],
    series: Mapping[str, NDArray[np.float64]],
    *,
    xlabel: str,
    ylabel: str,
    line: float | None = None,
    line_label: str = "",
) -> NDArray[np.uint8]:
    """Draw values with intervals, one row for each label and one point for each series.

    Args:
        labels: Names of the N rows, from the top.
        series: Value, lower and upper end of each row, (N, 3), NaN for none; by the series' name.
            At most five.
        xlabel: Name of the values, with their unit; long lines are broken.
        ylabel: Name of the rows.
        line: A value to compare with, drawn as a vertical line.
        line_label: Name of the line.

    Returns:
        The figure (H, W, 3).
    """
    wrapped = [textwrap.fill(label, _LETTERS) for label in labels]
    lines = max(label.count("\n") + 1 for label in wrapped)
    row = max(0.4, 0.1 + 0.19 * lines, 0.2 * len(series))
    entries = sum(len(textwrap.wrap(name, _LEGEND)) for name in series)
    figure = new_figure(_WIDTH, 1.8 + row * len(labels) + 0.2 * max(0, entries - 2))
    axes = figure.add_subplot()
    axes.set_xlabel(
        "\n".join(textwrap.fill(part, _LETTERS) for part in xlabel.splitlines()), fontsize=FONT
    )
    axes.set_ylabel(ylabel, fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    plain_axes(axes, hidden=("top", "right", "left"))
    _draw_intervals(axes, series)
    if line is not None:
        axes.axvline(line, color=GREY, linestyle="--", linewidth=1.3, label=line_label, zorder=1)
    axes.set_yticks(np.arange(len(labels)), wrapped)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.tick_params(axis="y", length=0)
    legend_above(figure, axes)
    return pixels_of(figure)


def _draw_intervals(axes: Axes, series: Mapping[str, NDArray[np.float64]]) -> None:
    reach = 0.18 if len(series) == 2 else 0.27
    offsets = np.linspace(-reach, reach, len(series)) if len(series) > 1 else [0.0]
    for (name, values), offset, (colour, marker, filling) in zip(
        series.items(), offsets, SERIES, strict=False
    ):
        value, low, high = values.T
        axes.errorbar(
            value,
            np.arange(len(values)) + offset,
            xerr=np.maximum([value - low, high - value], 0),
            fmt=marker,
            color=colour,
            markerfacecolor=filling,
            markersize=7,
            elinewidth=1.6,
            capsize=3,
            label=textwrap.fill(name, _LEGEND),
        )
