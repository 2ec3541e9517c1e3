"""Lines of readers, read back from matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from vitatt.plotting import reader_lines
from vitatt.plotting.reader_lines import reader_lines_figure


def test_a_thin_line_for_each_reader_and_a_thick_one_for_the_mean(
    figures_of: Callable[[ModuleType], list[Any]],
) -> None:
    figures = figures_of(reader_lines)
    rng = np.random.default_rng(0)
    groups = {"low": rng.random((4, 3)), "high experience": rng.random((2, 3))}
    arms = ["Without AI", "With the AI's probabilities", "With reasons"]
    pixels = reader_lines_figure(arms, groups, ylabel="accuracy")
    for axes, (name, values) in zip(figures[0].axes, groups.items(), strict=True):
        *thin, thick = axes.lines
        np.testing.assert_allclose([line.get_ydata() for line in thin], values)
        np.testing.assert_allclose(thick.get_ydata(), values.mean(0))
        assert thick.get_linewidth() > 2 * thin[0].get_linewidth()
        assert axes.get_title() == f"{name}\nn = {len(values)}"
        shown = [" ".join(one.get_text().split()) for one in axes.get_xticklabels()]
        assert shown == arms
    assert figures[0].axes[0].get_ylabel() == "accuracy"
    edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    assert all((edge == 255).all() for edge in edges)  # nothing is cut
