"""Reading any image file as square RGB pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from vitatt.types import DataError


def read_image(path: Path | str, size: int) -> NDArray[np.uint8]:
    """An image file as RGB pixels of a square, (size, size, 3).

    The whole image is scaled to the square, so nothing is cut off: aspect ratio is given up
    rather than skin. Grey, palette, CMYK, transparent (on white) and 16-bit files (scaled to 8) are
    converted, and a camera's rotation tag is obeyed.

    Raises:
        DataError: If the file is empty, truncated or no image; the message names the file.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes).")
        with warnings.catch_warnings():
            # A image of 90 million pixels is a large photograph, not an attack.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                # JPEG can be decoded at 1/2, 1/4 or 1/8: never below twice the size we want.
                image.draft("RGB", (2 * size, 2 * size))
                rgb = _to_rgb(_upright(image))
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no image: its content has no known format.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be decoded: {error}.") from error
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(rgb, dtype=np.uint8)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its camera noted.

    Pillow's own function also rewrites the other notes, and fails where one of them is damaged.
    """
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        # A 16-bit scan uses the whole range; Pillow's own conversion would clip it at 255.
        scale = 257.0 if values.max(initial=0) > 255 else 1.0
        grey = (values / scale).clip(0, 255).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
