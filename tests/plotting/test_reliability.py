"""Reliability diagrams, read back from matplotlib and from the pixels."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.benchmark_folder import source
from vitatt.plotting import reliability as drawing
from vitatt.reports.benchmark.plots import reliability


@pytest.fixture
def figures(figures_of: Callable[[ModuleType], list[Any]]) -> list[Any]:
    return figures_of(drawing)


def test_curves_are_labelled_before_and_after(figures: list[Any]) -> None:
    facts, frame, _ = source()
    plot = reliability(frame, facts)
    upper, lower = figures[0].axes
    assert upper.get_ylabel() == "share predicted right"
    assert lower.get_xlabel().startswith("confidence")
    assert lower.get_ylabel() == "cases"
    names = upper.get_legend_handles_labels()[1]
    assert names[1:] == ["before temperature scaling", "after temperature scaling"]
    edges = (plot.pixels[:2], plot.pixels[-2:], plot.pixels[:, :2], plot.pixels[:, -2:])
    assert all((edge == 255).all() for edge in edges)  # nothing is cut
