"""Drawn images to try the page with; no patient is on them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vitatt.data.synthetic.images import SIGNS, draw

EXAMPLES = 2

_SIDE = 320


def example_files(views: Sequence[str]) -> dict[str, bytes]:
    """Return the JPEG files ``example-N-V.jpg``: example N, image of view V.

    Each example shows another sign, in the image of one view.

    Args:
        views: Of the models; empty if a case is one image.
    """
    files = {}
    for number, sign in zip(range(EXAMPLES), SIGNS, strict=False):
        rng = np.random.default_rng(number)
        for view in range(max(1, len(views))):
            shows = sign if view == number % max(1, len(views)) else None
            drawing = draw(rng, _SIDE, shows, tone=0.15 + 0.4 * number)
            content = io.BytesIO()
            Image.fromarray(drawing.image).save(content, "JPEG", quality=90)
            files[f"example-{number}-{view}.jpg"] = content.getvalue()
    return files
