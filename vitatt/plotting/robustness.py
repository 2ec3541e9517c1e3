"""Robustness curves, one figure for each kind of perturbation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from vitatt.plotting.canvas import pixels_of
from vitatt.plotting.style import BLUE, GREEN, GREY, INK, ORANGE, PAPER, PURPLE, SKY, VERMILION


class Axis(NamedTuple):
    """Axis of the levels of a perturbation.

    Attributes:
        title: Of the panel.
        label: Of the levels, with their unit.
        percent: Whether levels are shares, shown in per cent.
    """

    title: str
    label: str
    percent: bool = False


Style = tuple[str, str, str]
"""Colour, mark and line."""

_COLUMNS = 3
_PANEL = (3.5, 2.7)  # inches
_FONT = 11

# Colour, marker and line, so that models differ in prints without colour too.
_STYLES: tuple[Style, ...] = (
    (BLUE, "o", "-"),
    (VERMILION, "s", "--"),
    (GREEN, "^", "-."),
    (PURPLE, "D", ":"),
    (ORANGE, "v", "-"),
    (SKY, "P", "--"),
)


def curves_figure(
    curves: pl.DataFrame,
    axes: Mapping[str, Axis],
    *,
    title: str,
    note: str,
    reference: str | None = None,
    unaffected: Collection[str] = (),
) -> NDArray[np.uint8]:
    """Draw one panel for each metric and perturbation: one line per model, intervals as bands.

    Args:
        curves: Of one kind, with the columns ``model``, ``perturbation``, ``level``, ``metric``,
            ``value``, ``low`` and ``high``.
        axes: Axis of each perturbation, in the order of the panels; those not measured are left
            out.
        title: Above all panels.
        note: Above the legend: cases and meaning of the bands.
        reference: The model drawn in black.
        unaffected: Models without the perturbed input: their one point becomes a horizontal line.

    Returns:
        The figure (H, W, 3).
    """
    shown = [name for name in axes if name in curves["perturbation"]]
    metrics = curves["metric"].unique(maintain_order=True).to_list()
    models = curves["model"].unique(maintain_order=True).to_list()
    others = [name for name in models if name != reference]
    styles: dict[str, Style] = {name: _STYLES[n % len(_STYLES)] for n, name in enumerate(others)}
    if reference in models:
        styles[str(reference)] = (INK, "", ":")
    columns = min(_COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    size = (_PANEL[0] * columns + 0.3, _PANEL[1] * lines * len(metrics) + 1.2)
    figure = Figure(
        figsize=size, dpi=160, layout=ConstrainedLayoutEngine(h_pad=0.08), facecolor=PAPER
    )
    panels = figure.subplots(lines * len(metrics), columns, squeeze=False)
    for number, metric in enumerate(metrics):
        block = panels[number * lines : (number + 1) * lines].ravel()
        part = curves.filter(pl.col("metric") == metric)
        limits = _limits(part.select("value", "low", "high").to_numpy())
        for panel, name in zip(block, shown, strict=False):
            of_panel = part.filter(pl.col("perturbation") == name).sort("level")
            _draw(panel, of_panel, axes[name], styles, unaffected)
            panel.set_ylim(limits)
        for panel in block[::columns]:
            panel.set_ylabel(metric, fontsize=_FONT)
        for panel in block[len(shown) :]:
            panel.set_axis_off()
    figure.suptitle(title, fontsize=_FONT + 3, x=0.01, ha="left", color=INK)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=4,
        frameon=False,
        fontsize=_FONT,
        title=note,
        title_fontsize=_FONT - 1,
        alignment="left",
    )
    return pixels_of(figure)


def _draw(
    panel: Axes,
    curves: pl.DataFrame,
    axis: Axis,
    styles: Mapping[str, Style],
    unaffected: Collection[str],
) -> None:
    end = curves["level"].max()
    opacity = min(0.15, 0.35 / len(styles))  # overlapping bands must not hide the lines
    for name, (colour, mark, line) in styles.items():
        curve = curves.filter(pl.col("model") == name)
        level, value, low, high = curve.select("level", "value", "low", "high").to_numpy().T
        if name in unaffected and len(level) == 1:
            level, value, low, high = np.array([0, end]), *(x.repeat(2) for x in (value, low, high))
        panel.fill_between(level, low, high, color=colour, alpha=opacity, linewidth=0)
        panel.plot(
            level,
            value,
            color=colour,
            marker=mark,
            linestyle=line,
            label=name,
            markersize=4.5,
            linewidth=1.8,
        )
    panel.set_title(axis.title, fontsize=_FONT, loc="left", color=INK)
    panel.set_xlabel(axis.label, fontsize=_FONT - 1)
    panel.tick_params(labelsize=_FONT - 1)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color=GREY, alpha=0.2)
    panel.set_axisbelow(True)
    if axis.percent:
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    else:
        panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Limits of the axis of a metric, the same in all its panels."""
    if not np.isfinite(values).any():  # a sample of one class has no AUROC
        return 0.0, 1.0
    return float(np.nanmin(values)) - 0.02, min(float(np.nanmax(values)) + 0.02, 1.01)
