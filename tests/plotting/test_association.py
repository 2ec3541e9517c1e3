"""Lengths of the bars."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from vitatt.plotting.association import association_figure


def table(association: float | None, gaps: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "label": ["age", "itches"],
            "measure": ["correlation ratio", "Cramér's V"],
            "association": [association, 0.0],
            "missing": [0.25, 0.0],
            "missing_association": [gaps, 0.0],
        },
        schema_overrides={"association": pl.Float64},
    )


def width(drawn: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Largest number of pixels of a colour in one line, without the legend."""
    found = (drawn == colour).all(2)[: -drawn.shape[0] // 6]
    return int(found.sum(1).max())


def test_lengths_are_the_associations() -> None:
    blue = (0x00, 0x72, 0xB2)
    half, whole = (
        width(association_figure(table(value, 0.0), title="t"), blue) for value in (0.4, 0.8)
    )
    assert whole == pytest.approx(2 * half, rel=0.02)
    assert width(association_figure(table(None, 0.0), title="t"), blue) == 0


def test_gaps_have_a_bar_of_their_own() -> None:
    orange = (0xE6, 0x9F, 0x00)
    assert width(association_figure(table(0.4, 0.0), title="t"), orange) == 0
    drawn = association_figure(table(0.4, 0.9), title="t")
    assert width(drawn, orange) > 200
    assert drawn.shape[1] == 1600
