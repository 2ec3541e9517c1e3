"""Forest plots, read back from matplotlib and from the pixels."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.benchmark_folder import source
from vitatt.plotting import forest
from vitatt.plotting.forest import forest_figure
from vitatt.reports.benchmark.plots import forests


@pytest.fixture
def figures(figures_of: Callable[[ModuleType], list[Any]]) -> list[Any]:
    return figures_of(forest)


def test_a_labelled_row_for_each_arm_with_the_values_of_the_table(figures: list[Any]) -> None:
    facts, _, tables = source()
    metric = "melanoma sensitivity at 90 % specificity"
    (plot,) = forests(tables["arms"], facts, [metric])
    (axes,) = figures[0].axes
    assert " ".join(axes.get_xlabel().split()) == f"{metric} (95 % interval)"
    assert axes.get_ylabel() == "arm"
    shown = [" ".join(label.get_text().split()) for label in axes.get_yticklabels()]
    scored = tables["arms"].filter(metric=metric, cases="all")
    values = {facts.arm_title(row["arm"]): row["value"] for row in scored.iter_rows(named=True)}
    points = axes.containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(points, [values[name] for name in shown])
    assert sorted(shown) == sorted(values)
    edges = (plot.pixels[:2], plot.pixels[-2:], plot.pixels[:, :2], plot.pixels[:, -2:])
    assert all((edge == 255).all() for edge in edges)  # nothing is cut


def test_undefined_values_leave_their_row_empty() -> None:
    values = np.array([[0.5, 0.4, 0.6], [np.nan] * 3])
    pixels = forest_figure(["a", "b"], {"all": values}, xlabel="x", ylabel="y")
    assert pixels.dtype == np.uint8
    blue = (pixels == (0x00, 0x72, 0xB2)).all(2).any(1)
    upper, lower = np.array_split(np.flatnonzero(blue), [blue.sum()])
    assert upper.size
    assert not lower.size
    assert upper.max() < pixels.shape[0] / 2


def test_five_series_stand_beside_each_other_under_a_legend_of_whole_names(
    figures: list[Any],
) -> None:
    names = [
        f"series {n} with a name that is longer than one line of the legend is" for n in "abcde"
    ]
    series = {name: np.array([[0.5, 0.4, 0.6], [0.2, 0.1, 0.3]]) for name in names}
    forest_figure(["first", "second"], series, xlabel="x", ylabel="row")
    (axes,) = figures[0].axes
    assert len(axes.containers) == 5
    heights = [one.lines[0].get_ydata()[0] for one in axes.containers]
    assert heights == sorted(set(heights))
    assert max(heights) - min(heights) < 0.6  # rows are 1 apart
    legend = [" ".join(one.get_text().split()) for one in figures[0].legends[0].get_texts()]
    assert legend == names
    assert len({one.get_color() for one in [c.lines[0] for c in axes.containers]}) == 5
