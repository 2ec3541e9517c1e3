"""A metric of each reader in each arm, as lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitatt.plotting.canvas import new_figure, pixels_of, plain_axes
from vitatt.plotting.style import BLUE, FONT, GREY

_LETTERS = 14  # in a line of an arm's name
_PANEL = 2.6  # inches


def reader_lines_figure(
    arms: Sequence[str], groups: Mapping[str, NDArray[np.float64]], *, ylabel: str
) -> NDArray[np.uint8]:
    """Draw a panel for each group of readers: thin lines of readers, a thick one of their mean.

    Args:
        arms: Names of the A arms, from the left.
        groups: Metric of each reader in each arm, (R, A), by the group's name.
        ylabel: Name of the metric.

    Returns:
        The figure (H, W, 3).
    """
    wrapped = [textwrap.fill(arm, _LETTERS, break_long_words=False) for arm in arms]
    lines = max(name.count("\n") + 1 for name in wrapped)
    width = 1.0 + max(_PANEL, 1.15 * len(arms)) * len(groups)
    figure = new_figure(width, 3.6 + 0.2 * lines)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, groups.items(), strict=True):
        _draw_panel(axes, values)
        axes.set_title(f"{textwrap.fill(name, 26)}\nn = {len(values)}", fontsize=FONT)
        axes.set_xticks(range(len(arms)), wrapped)
        axes.set_xlim(-0.3, len(arms) - 0.7)
        plain_axes(axes)
        axes.tick_params(axis="x", labelsize=FONT - 2)
        axes.grid(axis="y", color=GREY, alpha=0.25)
    panels[0].set_ylabel(ylabel, fontsize=FONT)
    panels[0].yaxis.set_major_locator(MaxNLocator(6))
    return pixels_of(figure)


def _draw_panel(axes: Axes, values: NDArray[np.float64]) -> None:
    places = np.arange(values.shape[1])
    axes.plot(places, values.T, color=GREY, alpha=0.6, linewidth=1.1, marker="o", markersize=3)
    axes.plot(places, values.mean(0), color=BLUE, linewidth=3, marker="o", markersize=8)
