"""Relevance drawn over the image, as uint8 pixels.

Relevance is coloured with viridis: its blue, green and bright yellow do not occur in skin, whereas
the reds of inferno look like inflammation; and it is safe for colour-blind readers.
"""

from __future__ import annotations

import functools
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitatt.plotting.style import INK, PAPER, clip_text, load_font

_NUMBERS = {1: "one dimension", 2: "two dimensions"}
_TOLERANCE = 1e-6  # of the maximum: rounding in float32, not signal
_TILE = 224  # pixels, the usual input side of a ViT
_GAP = 8


def heatmap(
    image: NDArray[np.uint8],
    relevance: NDArray[np.floating[Any]],
    *,
    opacity: float = 0.6,
    views: int = 1,
) -> NDArray[np.uint8]:
    """Image with relevance as a coloured overlay, transparent where relevance is low.

    Relevance is divided by its own maximum, so overlays of two maps show where each is high, not
    which is higher. A constant map leaves the image unchanged. Upsampling is bilinear, which never
    exceeds the values of the patches.

    Args:
        image: Pixels (H, W, 3), RGB.
        relevance: (h, w), not negative, on a grid that covers the whole image.
        opacity: Opacity at the maximum, in [0, 1]; elsewhere in proportion to relevance.
        views: Images that lie one below the other, so that nothing is upsampled across them.

    Returns:
        The overlay, (H, W, 3).

    Raises:
        ValueError: If a shape or dtype is wrong, or relevance is negative or not finite.
    """
    check_image(image, "image")
    relevance = check_relevance(relevance, "relevance", ndim=2)
    if not 0 <= opacity <= 1:
        raise ValueError(f"Expected argument `opacity` to be in [0, 1], but got {opacity}")
    levels = _levels(relevance, image.shape[:2], views)
    alpha = levels.point([round(opacity * level) for level in range(256)])
    return np.array(Image.composite(_coloured(levels), Image.fromarray(image), alpha))


def overlay(
    relevance: NDArray[np.floating[Any]],
    size: tuple[int, int],
    views: int = 1,
    most: float | None = None,
) -> NDArray[np.uint8]:
    """The overlay of `heatmap` without the image, transparent where relevance is low.

    Args:
        relevance: (h, w), not negative, on a grid that covers the whole image.
        size: Height and width of the canvas, in pixels.
        views: See `heatmap`.
        most: Relevance of full opacity; by default the map's own maximum.

    Returns:
        RGBA (H, W, 4). The alpha is relevance as a share of its own maximum, and each alpha has
        one colour; a constant map is transparent throughout.

    Raises:
        ValueError: If relevance has another shape, is negative or not finite.
    """
    levels = _levels(check_relevance(relevance, "relevance", ndim=2), size, views, most)
    return np.dstack([np.asarray(_coloured(levels)), np.asarray(levels)])


def map_figure(
    image: NDArray[np.uint8], relevance: NDArray[np.floating[Any]], title: str, views: int = 1
) -> NDArray[np.uint8]:
    """Image and heatmap side by side, under a title.

    Args:
        image: Pixels (H, W, 3), RGB.
        relevance: (h, w), not negative, on a grid that covers the whole image.
        title: One or more lines; a line that is too long ends in an ellipsis.
        views: See `heatmap`.

    Returns:
        The canvas, 472 pixels wide.

    Raises:
        ValueError: As `heatmap` does.
    """
    check_image(image, "image")
    image = fit_image(image, views * _TILE)
    font = load_font(19)
    lines = title.splitlines()
    line_height = 26
    top = _GAP + line_height * len(lines)
    size = (2 * _TILE + 3 * _GAP, top + image.shape[0] + _GAP)
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        text = clip_text(line, font, size[0] - 2 * _GAP)
        draw.text((_GAP, 4 + row * line_height), text, font=font, fill=INK)
    canvas.paste(Image.fromarray(image), (_GAP, top))
    canvas.paste(Image.fromarray(heatmap(image, relevance, views=views)), (_TILE + 2 * _GAP, top))
    return np.array(canvas)


def check_image(image: NDArray[np.uint8], name: str) -> None:
    """Check that an image is not empty and RGB, (H, W, 3) uint8.

    Raises:
        ValueError: If the shape or dtype differs; the message contains `name`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            f"Expected argument `{name}` to have shape (H, W, 3), but got shape {image.shape}"
        )
    if image.dtype != np.uint8:
        raise ValueError(f"Expected argument `{name}` to be uint8, but got {image.dtype}")


def check_relevance(
    relevance: NDArray[np.floating[Any]], name: str, *, ndim: int
) -> NDArray[np.float64]:
    """Relevance as float64, its rounding errors below zero clipped.

    Raises:
        ValueError: If it is empty, negative, not finite or of other dimensions; the message
            contains `name`.
    """
    values = np.asarray(relevance, dtype=np.float64)
    if values.ndim != ndim:
        raise ValueError(
            f"Expected argument `{name}` to have {_NUMBERS[ndim]}, but got shape {values.shape}"
        )
    if ndim == 2 and values.size == 0:
        raise ValueError(f"Expected argument `{name}` not to be empty, but got {values.shape}")
    if not np.isfinite(values).all():
        bad = np.count_nonzero(~np.isfinite(values))
        raise ValueError(
            f"Expected argument `{name}` to be finite, but {bad} of {values.size} values are not"
        )
    if values.size and values.min() < -_TOLERANCE * max(values.max(), 0):
        raise ValueError(
            f"Expected argument `{name}` not to be negative, but its minimum is {values.min():.3g}"
        )
    return values.clip(min=0)


def fit_image(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize an image so that its longer side is `side` pixels."""
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def _levels(
    relevance: NDArray[np.float64], size: tuple[int, int], views: int, most: float | None = None
) -> Image.Image:
    """Relevance as a grey image (H, W), 255 at its maximum; 0 everywhere if it is constant."""
    maximum = relevance.max() if most is None else most
    if maximum - relevance.min() <= _TOLERANCE * maximum:
        return Image.new("L", size[::-1])
    of_view = (size[1], size[0] // views)
    grids = np.split((relevance / maximum).astype(np.float32), views)
    scaled = [
        np.asarray(Image.fromarray(grid).resize(of_view, Image.Resampling.BILINEAR))
        for grid in grids
    ]
    return Image.fromarray(np.rint(np.concatenate(scaled).clip(0, 1) * 255).astype(np.uint8))


def _coloured(levels: Image.Image) -> Image.Image:
    """A grey image in the colours of relevance."""
    palette = levels.copy()
    palette.putpalette(_colours())
    return palette.convert("RGB")


@functools.cache
def _colours() -> bytes:
    """The colour map as 256 RGB triples."""
    table = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    return bytes(table.tobytes())
