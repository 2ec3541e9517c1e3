"""Scatter plots of embeddings, coloured by a property of the cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.plotting.canvas import new_figure, pixels_of
from vitatt.plotting.style import BLUE, FONT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION

REST = "others"

_PALE = "#c9c9c9"
# Colour and marker, so that names differ in prints without colour too.
_MARKS = (
    (BLUE, "o"),
    (ORANGE, "s"),
    (VERMILION, "^"),
    (GREEN, "D"),
    (PURPLE, "v"),
    (SKY, "P"),
    ("#000000", "X"),
    ("#8c6d1f", "*"),
)


def embedding_figure(
    views: Mapping[str, Floats], colours: pl.Series, *, title: str, note: str
) -> NDArray[np.uint8]:
    """Draw projections side by side, one point for each case.

    Args:
        views: Points (N, 2) by the title of the projection.
        colours: Property that the points are coloured by, (N,): strings, or numbers on a colour
            scale. Of more than 8 strings the 7 most frequent have colours. Other strings, `REST`
            and null are pale.
        title: Above all.
        note: Below all.

    Returns:
        The figure (H, W, 3).
    """
    figure = new_figure(4.6 * len(views) + 1.6, 5.4, dpi=160)
    panels = figure.subplots(1, len(views), squeeze=False)[0]
    numeric = colours.dtype.is_numeric()
    for panel, (name, points) in zip(panels, views.items(), strict=True):
        _rest(panel, points[colours.is_null().to_numpy()], "not recorded", filled=False)
        shown = (_draw_numbers if numeric else _draw_names)(panel, points, colours)
        panel.set_title(name, fontsize=FONT, loc="left", color=INK)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_color(_PALE)
        panel.set_aspect("equal", adjustable="datalim")
    if numeric and shown is not None:
        figure.colorbar(shown, ax=panels.tolist(), label=colours.name, shrink=0.8)
    handles, labels = panels[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=FONT - 1)
    figure.suptitle(title, fontsize=FONT + 2, x=0.01, ha="left", color=INK)
    figure.supxlabel(note, fontsize=FONT - 2, x=0.01, ha="left", color=GREY)
    return pixels_of(figure)


def largest_groups(groups: pl.Series, count: int = 6) -> pl.Series:
    """Group of each case if it is one of the largest, of at least 2 cases, else `REST`.

    Args:
        groups: Group of each case, (N,).
        count: Number of largest groups.
    """
    sizes = groups.value_counts().filter(pl.col("count") > 1)
    top = sizes.sort(["count", groups.name], descending=[True, False]).head(count)
    return groups.set(~groups.is_in(top[groups.name].to_list()), REST)


def _draw_names(panel: Axes, points: Floats, names: pl.Series) -> None:
    counts = names.drop_nulls().value_counts(sort=True)
    kept = [name for name in counts[names.name] if name != REST]
    if len(kept) > len(_MARKS):
        kept = kept[: len(_MARKS) - 1]
    _rest(panel, points[(names.is_not_null() & ~names.is_in(kept)).to_numpy()], REST, filled=True)
    for name, (colour, mark) in zip(sorted(kept), _MARKS, strict=False):
        member = (names == name).fill_null(False).to_numpy()
        style: dict[str, Any] = {"color": colour, "marker": mark, "linewidths": 0, "alpha": 0.8}
        panel.scatter(
            points[member, 0], points[member, 1], s=30, label=f"{name} ({member.sum()})", **style
        )


def _draw_numbers(panel: Axes, points: Floats, numbers: pl.Series) -> Any:
    known = numbers.is_not_null().to_numpy()
    values = numbers.drop_nulls().to_numpy()
    if not len(values):
        return None
    style: dict[str, Any] = {"cmap": matplotlib.colormaps["cividis"], "s": 26, "linewidths": 0}
    style |= {"c": values, "alpha": 0.85}
    return panel.scatter(points[known, 0], points[known, 1], **style)


def _rest(panel: Axes, points: Floats, name: str, *, filled: bool) -> None:
    if len(points):
        style: dict[str, Any] = {"linewidths": 1, "edgecolors": _PALE}
        style["facecolors"] = _PALE if filled else "none"
        panel.scatter(points[:, 0], points[:, 1], s=24, label=f"{name} ({len(points)})", **style)
