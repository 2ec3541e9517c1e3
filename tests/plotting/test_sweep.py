from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vitatt.plotting import sweep as module
from vitatt.plotting.sweep import Point, Slice, history_figure, importances_figure, slices_figure

POINTS = [
    Point(0, 0.5, complete=True),
    Point(1, 0.7, complete=True),
    Point(2, 0.9, complete=False),
    Point(4, 0.6, complete=True),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures before they become pixels."""
    figures: list[Figure] = []
    pixels = module.pixels_of

    def kept(figure: Figure) -> NDArray[np.uint8]:
        figures.append(figure)
        return pixels(figure)

    monkeypatch.setattr(module, "pixels_of", kept)
    return figures


def line(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())  # type: ignore[arg-type]


@pytest.mark.parametrize(("sign", "best"), [(1, [0.5, 0.7, 0.7, 0.7]), (-1, [0.5, 0.5, 0.5, 0.5])])
def test_the_best_so_far_is_of_complete_trials(drawn, sign: int, best: list[float]) -> None:
    pixels = history_figure(POINTS, metric="val/selection", sign=sign)
    assert pixels.shape[1:] == (1280, 3)
    (axes,) = drawn[0].axes
    assert line(axes, "best so far") == ([0, 1, 4, 4], best)
    assert line(axes, "all inner folds") == ([0, 1, 4], [0.5, 0.7, 0.6])
    assert line(axes, "stopped early: mean of fewer inner folds") == ([2], [0.9])


def test_one_panel_for_each_parameter_with_a_ring_at_the_best(drawn) -> None:
    slices = [
        Slice("model.learning_rate", [1e-4, 1e-3, 1e-2, 1e-1], log=True),
        Slice("data.features", ["all", "hc-5", "all", "hc-5"], choices=["all", "hc-5", "hc-1"]),
        Slice("model.fusion.init_args.metadata_dropout", [0.1, 0.2, 0.3, 0.4]),
    ]
    slices_figure(POINTS, slices, metric="val/selection", best=1)
    rate, features, dropout, empty = drawn[0].axes
    assert rate.get_xscale() == "log"
    assert dropout.get_xscale() == "linear"
    assert [label.get_text() for label in features.get_xticklabels()] == ["all", "hc-5", "hc-1"]
    assert line(features, "all inner folds")[0] == [0, 1, 1]
    assert dropout.get_xlabel() == "model.fusion\n.metadata_dropout"
    assert not empty.axison
    for panel, place in ((rate, 1e-3), (features, 1), (dropout, 0.2)):
        ring = panel.lines[-1]
        assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([place], [0.7])
        assert ring.get_markerfacecolor() == "none"


def test_a_single_parameter_and_a_single_trial(drawn) -> None:
    only = [Point(0, 0.5, complete=True)]
    assert history_figure(only, metric="val/loss", sign=-1).shape[1] == 1280
    pixels = slices_figure(only, [Slice("a", [1.0])], metric="val/loss", best=0)
    assert pixels.shape[1] == 1280


def test_bars_have_the_height_of_their_share(drawn) -> None:
    importances_figure({"model.learning_rate": 0.7, "data.features": 0.3})
    (axes,) = drawn[0].axes
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.3]  # type: ignore[attr-defined]
    assert axes.yaxis_inverted()
