"""Images as data addresses, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.plotting.heatmap import overlay

# Longer side of an overlay in pixels. A map has about 14 cells a side; the browser interpolates.
_MAP_SIDE = 128


def png_address(pixels: NDArray[np.uint8]) -> str:
    """Data address of a figure (H, W, 3) as a PNG."""
    return _address(Image.fromarray(pixels), "PNG", optimize=True)


def jpeg_address(pixels: NDArray[np.uint8]) -> str:
    """Data address of a photograph (H, W, 3) as a JPEG."""
    return _address(Image.fromarray(pixels), "JPEG", quality=85)


def overlay_address(
    relevance: NDArray[np.floating[Any]], views: int = 1, most: float | None = None
) -> str | None:
    """Data address of a relevance map (h, w) as a transparent PNG; None if it has no contrast.

    Args:
        relevance: The map.
        views: Images that lie one below the other.
        most: Relevance of full opacity; by default the map's own maximum.

    Raises:
        ValueError: As `overlay` does.
    """
    height, width = relevance.shape
    height //= views
    scale = _MAP_SIDE / max(height, width)
    size = (views * max(1, round(scale * height)), max(1, round(scale * width)))
    pixels = overlay(relevance, size, views, most)
    alpha = pixels[..., 3]
    if not alpha.any():
        return None
    # Each alpha has one colour, so that a palette is lossless and halves the file.
    palette = overlay(np.linspace(0, 1, 256)[None], (1, 256))[0]
    image = Image.fromarray(alpha)
    image.putpalette(palette[:, :3].tobytes())
    return _address(image, "PNG", transparency=palette[:, 3].tobytes(), optimize=True)


def _address(image: Image.Image, kind: str, **settings: Any) -> str:
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
