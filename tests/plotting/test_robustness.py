"""Figures of curves: what is drawn, read back from matplotlib and from the pixels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from vitatt.plotting.robustness import Axis, curves_figure
from vitatt.studies.robustness_scores import CURVES

pytestmark = pytest.mark.long

AXES = {
    "blur": Axis("blur", "strength"),
    "hidden": Axis("hidden values", "share hidden", percent=True),
    "never": Axis("not measured", ""),
}


def rows(model: str, perturbation: str, levels: list[float], base: float):
    return [
        dict.fromkeys(CURVES)
        | {"model": model, "kind": "k", "perturbation": perturbation, "level": level}
        | {"metric": metric, "value": base - level / 10, "low": base - 0.2, "high": base + 0.1}
        for level in levels
        for metric in ("balanced accuracy", "macro AUROC")
    ]


@pytest.fixture
def curves() -> pl.DataFrame:
    records = [
        row
        for perturbation in ("hidden", "blur")
        for row in [
            *rows("image only", perturbation, [0.0], 0.5),
            *rows("mask", perturbation, [1.0, 0.0, 0.5], 0.8),
            *rows("token", perturbation, [0.0, 0.5, 1.0], 0.7),
            *rows("interrupted", perturbation, [0.0], 0.6),
        ]
    ]
    return pl.DataFrame(records, schema=CURVES)


@pytest.fixture
def drawn(curves, monkeypatch):
    """The pixels, and the matplotlib figure behind it."""
    figures: list[Figure] = []
    original = Figure.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        figures.append(self)

    monkeypatch.setattr(Figure, "__init__", remember)
    pixels = curves_figure(
        curves,
        AXES,
        title="Title",
        note="12 cases",
        reference="image only",
        unaffected=["image only"],
    )
    return pixels, figures[0]


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def test_one_panel_for_each_metric_and_perturbation(drawn):
    pixels, figure = drawn
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    titles = [axes.get_title(loc="left") for axes in panels(figure)]
    assert titles == ["blur", "hidden values"] * 2
    assert [axes.get_ylabel() for axes in panels(figure)][::2] == [
        "balanced accuracy",
        "macro AUROC",
    ]
    assert all(axes.get_xlabel() for axes in panels(figure))


def test_lines_are_in_the_order_of_levels_and_only_an_unaffected_model_goes_through(drawn):
    for axes in panels(drawn[1]):
        lines = {line.get_label(): line.get_xydata() for line in axes.lines}
        assert set(lines) == {"image only", "mask", "token", "interrupted"}
        np.testing.assert_allclose(lines["mask"], [[0, 0.8], [0.5, 0.75], [1, 0.7]])
        np.testing.assert_allclose(lines["image only"], [[0, 0.5], [1, 0.5]])
        np.testing.assert_allclose(lines["interrupted"], [[0, 0.6]])
        assert len(axes.collections) == 4  # the bands


def test_models_differ_in_colour_and_in_line(drawn):
    pixels, figure = drawn
    lines = panels(figure)[0].lines
    assert len({line.get_color() for line in lines}) == 4
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 4
    for line in lines:
        if line.get_label() == "interrupted":  # a mark without a line
            continue
        colour = np.round(255 * np.array(to_rgb(line.get_color())))
        assert (np.abs(pixels - colour).max(2) < 3).sum() > 100


def test_legend_and_note_are_outside_and_inside_the_figure(drawn):
    _, figure = drawn
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "mask",
        "token",
        "interrupted",
        "image only",
    ]
    assert legend.get_title().get_text() == "12 cases"
    box = legend.get_window_extent()
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    for axes in panels(figure):
        assert axes.get_tightbbox().y0 > box.y1


def test_metrics_that_are_not_defined(curves):
    gone = curves.with_columns(
        pl.when(pl.col("level") > 0).then(float("nan")).otherwise(pl.col("value")).alias("value")
    )
    assert curves_figure(gone, AXES, title="", note="").std() > 5


def test_a_metric_that_is_defined_nowhere(curves):
    gone = curves.with_columns(
        pl.lit(float("nan")).alias(name) for name in ("value", "low", "high")
    )
    assert curves_figure(gone, AXES, title="", note="").std() > 5
