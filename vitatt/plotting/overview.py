"""Bars, points and intervals of the overview of explained cases and of explanation checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitatt.plotting.canvas import new_figure, pixels_of, plain_axes
from vitatt.plotting.style import BLUE, FONT, GREY, INK

_WIDTH = 6.4  # inches
_MAX_LETTERS = 28


def bars_figure(
    labels: Sequence[str],
    lengths: NDArray[np.float64],
    intervals: NDArray[np.float64],
    *,
    xlabel: str,
) -> NDArray[np.uint8]:
    """Draw horizontal bars with intervals.

    Args:
        labels: Names of the N bars, from the top.
        lengths: (N,), not negative.
        intervals: Lower and upper ends, (2, N).
        xlabel: Name of the lengths, with their unit.

    Returns:
        The figure (H, 1280, 3).
    """
    figure, axes = _figure(1.1 + 0.36 * len(labels), xlabel)
    rows = np.arange(len(labels))
    axes.barh(rows, lengths, color=BLUE, height=0.66)
    # A length without variation may lie outside its interval by rounding.
    reach = np.maximum([lengths - intervals[0], intervals[1] - lengths], 0)
    style: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 1.5, "capsize": 4}
    axes.errorbar(lengths, rows, xerr=reach, **style)
    axes.set_yticks(rows, list(map(_clip, labels)))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    return pixels_of(figure)


def intervals_figure(
    labels: Sequence[str], values: NDArray[np.float64], *, xlabel: str
) -> NDArray[np.uint8]:
    """Draw points with intervals.

    Args:
        labels: Names of the N points, from the top.
        values: Value, lower and upper end of each, (N, 3); NaN for none.
        xlabel: Name of the values.

    Returns:
        The figure (H, 1280, 3).
    """
    figure, axes = _figure(1.1 + 0.36 * len(labels), xlabel)
    rows = np.arange(len(labels))
    value, low, high = values.T
    reach = np.maximum([value - low, high - value], 0)
    style: dict[str, Any] = {"fmt": "o", "color": BLUE, "ecolor": INK, "markersize": 8}
    axes.errorbar(value, rows, xerr=reach, elinewidth=1.5, capsize=4, **style)
    axes.set_yticks(rows, list(map(_clip, labels)))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    return pixels_of(figure)


def points_figure(
    groups: Mapping[str, Sequence[float]],
    centres: Sequence[float],
    colours: Sequence[str],
    *,
    xlabel: str,
    ylabel: str = "",
    largest: float,
) -> NDArray[np.uint8]:
    """Draw the values of each group as points in one row, with a line at the group's centre.

    Args:
        groups: Values by the group's name, from the top.
        centres: Centre of each group, such as its median; NaN for none.
        colours: Colour of each group.
        xlabel: Name of the values, with their unit.
        ylabel: Name of the groups.
        largest: End of the axis, which starts at 0.

    Returns:
        The figure (H, 1280, 3).
    """
    figure, axes = _figure(1.2 + 0.6 * len(groups), xlabel)
    rows = zip(groups.values(), centres, colours, strict=True)
    for row, (values, centre, colour) in enumerate(rows):
        # Jittered by a fixed pattern, not at random, so that the figure is reproducible.
        offsets = (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.5
        style: dict[str, Any] = {"color": colour, "alpha": 0.7, "linewidths": 0, "zorder": 3}
        axes.scatter(values, row + offsets, s=34, **style)
        axes.plot([centre, centre], [row - 0.36, row + 0.36], color=INK, linewidth=2.5)
    labels = [f"{_clip(name)} (n = {len(values)})" for name, values in groups.items()]
    axes.set_yticks(range(len(groups)), labels)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_ylabel(ylabel, fontsize=FONT)
    axes.set_xlim(-0.02 * largest, 1.02 * largest)
    return pixels_of(figure)


def _figure(height: float, xlabel: str) -> tuple[Figure, Axes]:
    figure = new_figure(_WIDTH, height)
    axes = figure.add_subplot()
    plain_axes(axes, hidden=("top", "right", "left"))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    return figure, axes


def _clip(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1].rstrip() + "…"
