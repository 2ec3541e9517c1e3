"""Colours, series styles and fonts of all figures."""

from __future__ import annotations

import bisect
from pathlib import Path

import matplotlib
from PIL import ImageFont

INK = "#1a1a1a"
GREY = "#6b6b6b"
PAPER = "#ffffff"
# Okabe and Ito's, safe for colour-blind readers.
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
DARK_VERMILION = "#C24A00"  # dark enough for white text on it

FONT = 12
"""Font size in points. Figures shown 640 pixels wide have letters of 17 pixels."""

SERIES: tuple[tuple[str, str, str], ...] = (
    (BLUE, "o", BLUE),
    (VERMILION, "D", PAPER),
    (GREEN, "s", GREEN),
    (PURPLE, "^", PAPER),
    (INK, "v", INK),
)
"""Colour, marker and filling of series; every second is hollow, for prints without colour."""


def load_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `size` pixels, from matplotlib's data.

    Loaded at each call (50 microseconds), since threads must not share a FreeType face. The basic
    layout draws the same pixels with and without libraqm.
    """
    path = Path(matplotlib.get_data_path(), "fonts", "ttf")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(path / name, size, layout_engine=ImageFont.Layout.BASIC)


def clip_text(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, shortened with an ellipsis if it is wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    kept = bisect.bisect_right(
        range(len(text)), width, key=lambda count: font.getlength(text[:count] + "…")
    )
    return text[: max(kept - 1, 0)].rstrip() + "…"
