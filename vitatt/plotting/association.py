"""Association of metadata features, and of their missingness, with the diagnosis."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.plotting.canvas import new_figure, pixels_of, plain_axes
from vitatt.plotting.style import BLUE, FONT, GREY, INK, ORANGE, PAPER


def association_figure(table: pl.DataFrame, *, title: str) -> NDArray[np.uint8]:
    """Draw two bars for each feature: association of its values and of its missingness.

    Args:
        table: One row for each feature, from the top: ``label``, ``measure``, ``association``
            (null for none), ``missing`` (a share) and ``missing_association``.
        title: Above all.

    Returns:
        The figure (H, 1600, 3).
    """
    figure = new_figure(8, 2 + 0.42 * table.height)
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
        fontsize=FONT,
    )
    plain_axes(axes, hidden=("top", "right", "left"))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    figure.suptitle(title, fontsize=FONT + 2, color=INK, x=0.01, ha="left")
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=FONT)
    return pixels_of(figure)


def _label(row: dict[str, Any]) -> str:
    mark = "*" if row["measure"] == "correlation ratio" else ""
    missing = f", {row['missing']:.0%} missing".replace("%", " %") if row["missing"] else ""
    return f"{row['label']}{mark}{missing}"
