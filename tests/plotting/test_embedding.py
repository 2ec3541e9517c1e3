"""The figure by its pixels: which colours are in it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb

from vitatt.plotting import embedding as drawing
from vitatt.plotting.embedding import REST, embedding_figure, largest_groups

POINTS = np.random.default_rng(0).normal(size=(60, 2))


def draw(colours: pl.Series, views: int = 2) -> np.ndarray:
    named = {f"view {number}": POINTS for number in range(views)}
    return embedding_figure(named, colours, title="t-SNE", note="60 cases")


def colours_in(figure: np.ndarray) -> set[str]:
    """Which of the colours except black are in a figure; points are a little transparent."""
    packed = np.unique(figure.astype(np.int64) @ [65536, 256, 1])  # faster than rows
    pixels = np.stack([packed // 65536, packed // 256 % 256, packed % 256], 1) / 255
    found = set()
    for colour, _ in drawing._MARKS:
        on_paper = 0.8 * np.array(to_rgb(colour)) + 0.2
        if np.abs(pixels - on_paper).max(1).min() < 0.01:
            found.add(colour)
    return found - {"#000000"}  # text has all greys


@pytest.mark.parametrize("count", [2, 8, 9])
def test_one_colour_for_each_name_and_the_rest_pale(count: int) -> None:
    names = pl.Series("sex", [f"n{number % count}" for number in range(60)])
    figure = draw(names, views=1)
    assert figure.dtype == np.uint8
    shown = drawing._MARKS[: count if count <= 8 else 7]
    assert colours_in(figure) == {colour for colour, _ in shown} - {"#000000"}


def test_names_without_values_and_numbers_are_drawn() -> None:
    nothing = pl.Series("sex", [None] * 60, dtype=pl.String)
    assert colours_in(draw(nothing, views=1)) == set()
    assert colours_in(draw(pl.Series("age", [None] * 60, dtype=pl.Float64), views=1)) == set()
    numbers = pl.Series("age", [None, *np.linspace(0, 1, 59)])
    assert not np.array_equal(draw(numbers), draw(numbers.reverse()))


def test_marks_differ_in_colour_and_shape() -> None:
    colours, shapes = zip(*drawing._MARKS, strict=True)
    assert len(set(colours)) == len(set(shapes)) == len(drawing._MARKS)


def test_largest_groups() -> None:
    groups = pl.Series("group", ["b", "b", "a", "c", "c", "c", "d", "d"])
    assert largest_groups(groups, 2).to_list() == ["b", "b", REST, "c", "c", "c", REST, REST]
    assert largest_groups(pl.Series("group", ["a", "b"])).to_list() == [REST, REST]
