"""Colours and letters of all figures."""

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
DARK_VERMILION = "#C24A00"  # carries white text


def load_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `size` pixels, as matplotlib ships it.

    Loaded anew at each call (50 microseconds), since a FreeType face is not safe to share among
    threads. The basic layout draws the same pixels whether or not libraqm is installed.
    """
    path = Path(matplotlib.get_data_path(), "fonts", "ttf")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(path / name, size, layout_engine=ImageFont.Layout.BASIC)


def clip_text(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, ended by an ellipsis where it would be wider than `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    kept = bisect.bisect_right(
        range(len(text)), width, key=lambda count: font.getlength(text[:count] + "…")
    )
    return text[: max(kept - 1, 0)].rstrip() + "…"
