"""Relevance of metadata features as bars, labelled with the patient's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitatt.plotting.shares import feature_shares, format_percent
from vitatt.plotting.style import BLUE, GREY, INK, ORANGE, PAPER, clip_text, load_font

LABEL_SHARE = 0.43  # of the width; the rest is for the bars
SERIES_COLOURS = (BLUE, ORANGE)


def feature_bars(
    labels: Sequence[str],
    values: Sequence[str | None],
    relevance: Mapping[str, NDArray[np.floating[Any]]],
    *,
    width: int,
    max_features: int = 12,
    font_size: int = 23,
) -> NDArray[np.uint8]:
    """Draw each feature's share of the relevance of all features as a bar, highest first.

    Args:
        labels: Names of the F features.
        values: The patient's own values with their units; None where not recorded.
        relevance: Relevance (F,) by title, such as ``predicted BCC``; one or two. Features are
            ordered by the larger share, at a tie recorded ones first.
        width: Of the figure, in pixels.
        max_features: Bars at most; further features are summed up in one line.
        font_size: In pixels.

    Returns:
        The figure, as high as it has lines.

    Raises:
        ValueError: If lengths do not match, or relevance is negative or not finite.
    """
    if max_features < 1:
        raise ValueError(
            f"Expected argument `max_features` to be larger than 0, but got {max_features}"
        )
    shares = feature_shares(labels, values, relevance)
    missing = np.array([value is None for value in values], dtype=bool)
    order = np.lexsort((missing, -shares.max(axis=0)))
    shown, rest = order[:max_features], order[max_features:]
    chart = _Chart(width, len(shown) + 1 + (rest.size > 0), font_size)
    chart.write_legend(list(relevance))
    unit = chart.pixels_per_share(shares)
    for row, feature in enumerate(shown, start=1):
        value = values[feature]
        text = f"{labels[feature]}: not recorded"
        if value is not None:
            text = f"{labels[feature]} = {value}"
        chart.draw_bars(row, text, shares[:, feature], unit, ink=GREY if value is None else INK)
    if rest.size:
        text = f"{rest.size} more, together {_percents(shares[:, rest].sum(axis=1))}"
        if unrecorded := np.count_nonzero(missing[rest]):
            text += f" ({unrecorded} of them not recorded)"
        chart.write(0, len(shown) + 1, clip_text(text, chart.font, width), GREY)
    return np.array(chart.image)


class _Chart:
    """Rows of a label and bars on one image; row 0 is the legend."""

    def __init__(self, width: int, rows: int, font_size: int) -> None:
        self.width, self.font_size = width, font_size
        self.row_height = round(1.43 * font_size)
        self.font = load_font(font_size)
        self.image = Image.new("RGB", (width, self.row_height * rows), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.start = round(LABEL_SHARE * width)  # left end of the bars
        self.label_width = self.start - font_size // 2

    def write(self, left: float, row: int, text: str, ink: str = INK) -> None:
        position = (left, (row + 0.5) * self.row_height)
        self.draw.text(position, text, font=self.font, fill=ink, anchor="lm")

    def write_legend(self, titles: Sequence[str]) -> None:
        self.write(
            0, 0, clip_text("share of metadata relevance", self.font, self.label_width), GREY
        )
        left = float(self.start)
        key = 0.8 * self.font_size
        top = (self.row_height - key) / 2
        room = (self.width - self.start) / len(titles) - 2.2 * self.font_size
        for title, colour in zip(titles, SERIES_COLOURS, strict=False):
            self.draw.rectangle((left, top, left + key, top + key), fill=colour)
            text = clip_text(title, self.font, room)
            self.write(left + 1.2 * self.font_size, 0, text)
            left += 2 * self.font_size + self.font.getlength(text)

    def pixels_per_share(self, shares: NDArray[np.float64]) -> float:
        """Scale at which the largest share leaves room for the numbers behind its bars."""
        end = self.width - self.font.getlength(" / ".join(["  100 %"] * len(shares)))
        return float(max(end - self.start, 0) / (shares.max(initial=0) or 1.0))

    def draw_bars(
        self, row: int, label: str, shares: NDArray[np.float64], unit: float, *, ink: str
    ) -> None:
        """One bar for each series below each other, their numbers behind them."""
        self.write(0, row, clip_text(label, self.font, self.label_width), ink)
        thickness = (self.row_height - 10) // len(shares)
        for line, share in enumerate(shares):
            top = row * self.row_height + 5 + line * thickness
            if share > 0:
                box = (self.start, top, self.start + unit * share, top + thickness - 1)
                self.draw.rectangle(box, fill=SERIES_COLOURS[line])
        tip = self.start + unit * shares.max() + self.font_size / 3
        self.write(tip, row, _percents(shares), ink)


def _percents(shares: NDArray[np.float64]) -> str:
    return " / ".join(map(format_percent, shares))
