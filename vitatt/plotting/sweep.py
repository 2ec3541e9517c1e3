"""Figures of a hyperparameter search."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vitatt.plotting.canvas import legend_above, new_figure, pixels_of, plain_axes
from vitatt.plotting.style import BLUE, FONT, GREY, INK, PAPER, VERMILION

_WIDTH = 6.4  # inches
_COLUMNS = 2
_PANEL = (3.2, 2.7)  # inches
_LETTERS = 24  # in a line of a name


class Point(NamedTuple):
    """A trial of a search.

    Attributes:
        number: From 0.
        value: Its metric.
        complete: Whether it was measured on all inner folds.
    """

    number: int
    value: float
    complete: bool


class Slice(NamedTuple):
    """One parameter of a search.

    Attributes:
        name: The parameter.
        values: Of each trial: numbers, or texts of a list of values.
        log: Whether its axis is logarithmic.
        choices: All values, if they are listed.
    """

    name: str
    values: Sequence[float | str]
    log: bool = False
    choices: Sequence[str] = ()


def history_figure(points: Sequence[Point], *, metric: str, sign: int) -> NDArray[np.uint8]:
    """Draw the metric of each trial, and the best one so far as a line.

    Args:
        points: At least one, in order; one of them complete.
        metric: Its name.
        sign: 1 if higher values are better, else -1.

    Returns:
        The figure (H, 1280, 3).
    """
    figure = new_figure(_WIDTH, 3.6)
    axes = figure.subplots()
    _dots(axes, points, [point.number for point in points])
    complete = [point for point in points if point.complete]
    best = sign * np.maximum.accumulate([sign * point.value for point in complete])
    numbers = [point.number for point in complete]
    axes.step(
        [*numbers, points[-1].number],
        [*best, best[-1]],
        where="post",
        color=INK,
        linewidth=1.5,
        label="best so far",
    )
    axes.set_xlabel("trial", fontsize=FONT)
    axes.set_ylabel(metric, fontsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(color=GREY, alpha=0.2)
    plain_axes(axes)
    legend_above(figure, axes)
    return pixels_of(figure)


def slices_figure(
    points: Sequence[Point], slices: Sequence[Slice], *, metric: str, best: int
) -> NDArray[np.uint8]:
    """Draw the metric against each parameter, the best trial marked by a ring.

    Args:
        points: At least one, in order.
        slices: One for each parameter, with a value for each point.
        metric: Its name.
        best: Number of the best trial.

    Returns:
        The figure (H, 1280, 3).
    """
    lines = -(-len(slices) // _COLUMNS)
    columns = min(_COLUMNS, len(slices))
    figure = new_figure(_PANEL[0] * _COLUMNS, _PANEL[1] * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    winner = next(n for n, point in enumerate(points) if point.number == best)
    for panel, one in zip(panels, slices, strict=False):
        places: list[float] = [
            one.choices.index(str(value)) if one.choices else float(value) for value in one.values
        ]
        _dots(panel, points, places)
        panel.plot(
            places[winner],
            points[winner].value,
            "o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=1.5,
        )
        if one.choices:
            panel.set_xticks(range(len(one.choices)), one.choices)
            panel.set_xlim(-0.5, len(one.choices) - 0.5)
        elif one.log:
            panel.set_xscale("log")
        else:
            panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.set_xlabel(_label(one.name), fontsize=FONT)
        panel.margins(y=0.1)  # room for the ring
        panel.grid(color=GREY, alpha=0.2)
        plain_axes(panel)
    for panel in panels[::columns]:
        panel.set_ylabel(metric, fontsize=FONT)
    for panel in panels[len(slices) :]:
        panel.set_axis_off()
    return pixels_of(figure)


def importances_figure(shares: Mapping[str, float]) -> NDArray[np.uint8]:
    """Draw the importance of each parameter as a bar.

    Args:
        shares: By name, highest first.

    Returns:
        The figure (H, 1280, 3).
    """
    figure = new_figure(_WIDTH, 0.9 + 0.5 * len(shares))
    axes = figure.subplots()
    rows = np.arange(len(shares))
    axes.barh(rows, list(shares.values()), color=BLUE, height=0.6)
    axes.set_yticks(rows, [_label(name) for name in shares])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the explained variance", fontsize=FONT)
    axes.grid(axis="x", color=GREY, alpha=0.2)
    plain_axes(axes)
    return pixels_of(figure)


def _dots(axes: Axes, points: Sequence[Point], places: Sequence[float]) -> None:
    """Filled dots for complete trials, hollow diamonds for those that were stopped."""
    for complete, marker, fill, colour, label in (
        (True, "o", BLUE, BLUE, "all inner folds"),
        (False, "D", PAPER, VERMILION, "stopped early: mean of fewer inner folds"),
    ):
        shown = [n for n, point in enumerate(points) if point.complete == complete]
        if shown:
            axes.plot(
                [places[n] for n in shown],
                [points[n].value for n in shown],
                marker,
                markersize=6,
                markerfacecolor=fill,
                markeredgecolor=colour,
                label=label,
            )


def _label(name: str) -> str:
    """A dotted name, the last part of a long one on a line of its own."""
    name = name.replace(".init_args", "")
    if len(name) <= _LETTERS:
        return name
    group, _, last = name.rpartition(".")
    return f"{textwrap.shorten(group, _LETTERS, placeholder='…')}\n.{last}"
