"""Matplotlib figures as pixels, without a window system."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitatt.plotting.style import FONT, PAPER


def new_figure(width: float, height: float, *, dpi: int = 200) -> Figure:
    """An empty figure with constrained layout.

    At 200 dots per inch it is drawn twice as large as a page shows it, for sharp screens.

    Args:
        width: In inches.
        height: In inches.
        dpi: Dots per inch.
    """
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor=PAPER)


def plain_axes(axes: Axes, *, hidden: tuple[str, ...] = ("top", "right")) -> None:
    """Hide spines, set the size of the tick labels, and draw the grid behind the data."""
    axes.spines[list(hidden)].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.set_axisbelow(True)


def legend_above(figure: Figure, axes: Axes) -> None:
    """Write the legend of the axes above them, one entry on each line."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", fontsize=FONT, frameon=False, ncols=1)


def pixels_of(figure: Figure) -> NDArray[np.uint8]:
    """The figure drawn at its own resolution, (H, W, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()
