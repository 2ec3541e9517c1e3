"""Reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitatt.evaluation.calibration import ReliabilityCurve
from vitatt.plotting.canvas import legend_above, new_figure, pixels_of, plain_axes
from vitatt.plotting.style import FONT, GREY, SERIES


def reliability_figure(
    curves: Mapping[str, ReliabilityCurve],
    *,
    xlabel: str = "confidence: probability of the predicted class",
    ylabel: str = "share predicted right",
    counted: str = "cases",
) -> NDArray[np.uint8]:
    """Draw the accuracy of predictions over their confidence, and a histogram of the confidence.

    Args:
        curves: By name; at most five.
        xlabel: Name of the confidence.
        ylabel: Name of the accuracy.
        counted: Name of what the histogram counts.

    Returns:
        The figure (H, W, 3).
    """
    figure = new_figure(5.5, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(
        [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.3, label="perfect calibration"
    )
    for (name, curve), (colour, marker, filling) in zip(curves.items(), SERIES, strict=False):
        known = ~np.isnan(curve.confidence)
        upper.plot(
            curve.confidence[known],
            curve.accuracy[known],
            marker=marker,
            markersize=7,
            color=colour,
            markerfacecolor=filling,
            linewidth=1.8,
            label=name,
        )
        lower.stairs(
            curve.cases,
            np.linspace(0, 1, len(curve.cases) + 1),
            color=colour,
            linewidth=1.8,
            linestyle="-" if filling == colour else "--",
        )
    upper.set_ylabel(ylabel, fontsize=FONT)
    upper.set_ylim(-0.03, 1.03)
    lower.set_ylabel(counted, fontsize=FONT)
    lower.set_xlabel(xlabel, fontsize=FONT)
    lower.set_xlim(0, 1)
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    for axes in (upper, lower):
        plain_axes(axes)
        axes.grid(color=GREY, alpha=0.25)
    legend_above(figure, upper)
    return pixels_of(figure)
