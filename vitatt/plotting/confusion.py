"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from vitatt.plotting.canvas import pixels_of
from vitatt.plotting.style import INK, PAPER


def confusion_figure(matrix: NDArray[np.integer[Any]], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix: in each cell the count and its share of the true class.

    Args:
        matrix: Counts (C, C); rows are true classes, columns are predicted classes.
        classes: Names, in the order of the rows.

    Returns:
        The figure. The colour of a cell is its share; a class without cases is left blank.

    Raises:
        ValueError: If the matrix is not square, not of counts, or does not match the classes.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(classes), len(classes)) or not classes:
        raise ValueError(
            f"Expected argument `matrix` to have shape (C, C) with C = {len(classes)} classes, "
            f"but got shape {matrix.shape}"
        )
    if not np.issubdtype(matrix.dtype, np.integer) or (matrix < 0).any():
        raise ValueError("Expected argument `matrix` to hold counts (integers from 0 on)")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    # Inches. Up to seven letters fit under a cell; longer names are slanted and need more room.
    letters = max(map(len, classes))
    side = 2.2 + 0.95 * len(classes) + 0.13 * max(letters - 7, 0)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(side, side - 0.6), dpi=100, layout=layout, facecolor=PAPER)
    axes = figure.add_subplot()
    axes.imshow(np.where(totals > 0, shares, np.nan), cmap="Blues", vmin=0, vmax=1)
    size = 15
    for (row, column), count in np.ndenumerate(matrix):
        share = f"{shares[row, column]:.0%}".replace("%", " %") if totals[row] else "–"
        ink = PAPER if shares[row, column] > 0.55 else INK
        style: dict[str, Any] = {"ha": "center", "color": ink, "fontsize": size}
        axes.text(column, row - 0.03, str(count), va="bottom", fontweight="bold", **style)
        axes.text(column, row + 0.05, share, va="top", **style)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, fontsize=size)
    if letters > 7:
        axes.tick_params(axis="x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(
        ticks, [f"{name}\nn = {n}" for name, n in zip(classes, totals[:, 0], strict=True)]
    )
    axes.tick_params(axis="y", labelsize=size)
    axes.set_xlabel("predicted", fontsize=size + 2, fontweight="bold")
    axes.set_ylabel("true", fontsize=size + 2, fontweight="bold")
    return pixels_of(figure)
