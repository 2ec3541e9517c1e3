"""Association of metadata features with the diagnosis, beside that of their gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitatt.plotting.canvas import pixels_of
from vitatt.plotting.style import BLUE, GREY, INK, ORANGE, PAPER

_FONT = 12


def association_figure(table: pl.DataFrame, *, title: str) -> NDArray[np.uint8]:
    """Draw two bars a feature: what its values say of the diagnosis, and what its absence says.

    Args:
        table: A row a feature, from the top: ``label``, ``measure``, ``association`` (null for
            none), ``missing`` (a share) and ``missing_association``.
        title: Above all.

    Returns:
        The figure (H, 1600, 3).
    """
    figure = Figure(
        figsize=(8, 2 + 0.42 * table.height), dpi=200, layout="constrained", facecolor=PAPER
    )
    axes = figure.add_subplot()
    rows = np.arange(table.height)
    style: dict[str, Any] = {"height": 0.38, "linewidth": 0}
    values = table["association"].fill_null(0)
    axes.barh(rows - 0.2, values, color=BLUE, label="its values", **style)
    style |= {"hatch": "///", "edgecolor": PAPER}
    gaps = table["missing_association"]
    axes.barh(rows + 0.2, gaps, color=ORANGE, label="being missing", **style)
    axes.set_yticks(rows, list(map(_label, table.iter_rows(named=True))))
    axes.set_ylim(table.height - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel(
        "association with the diagnosis, 0 to 1\n(Cramér's V; of numbers, marked *, the "
        "correlation ratio)",
        fontsize=_FONT,
    )
    axes.tick_params(labelsize=_FONT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.set_axisbelow(True)
    figure.suptitle(title, fontsize=_FONT + 2, color=INK, x=0.01, ha="left")
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=_FONT)
    return pixels_of(figure)


def _label(row: dict[str, Any]) -> str:
    mark = "*" if row["measure"] == "correlation ratio" else ""
    missing = f", {row['missing']:.0%} missing".replace("%", " %") if row["missing"] else ""
    return f"{row['label']}{mark}{missing}"
