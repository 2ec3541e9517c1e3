"""Images as callers have them: files, their content, Pillow images and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images.reading import read_image, read_image_bytes, square_pixels
from vitatt.types import UsageError

ImageInput = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""Path of an image file, its content, a Pillow image, or RGB pixels (H, W, 3) uint8."""


def read_pixels(image: ImageInput, size: int) -> NDArray[np.uint8]:
    """Return an image as the data module reads it: RGB pixels of a square, (size, size, 3).

    A path and the content of a file give the same pixels. A Pillow image and an array are decoded
    already: a large JPEG, which is decoded at a reduced size from its file, can differ from them by
    a few grey levels.

    Args:
        image: A file, its content, a Pillow image (whose rotation tag is applied) or an array.
        size: Side of the square, in pixels.

    Raises:
        UsageError: If there is no such file, it is no image, or an array has another shape or type.
    """
    name = image_name(image)
    if isinstance(image, bytes):
        return read_image_bytes(image, size, name)
    if isinstance(image, Image.Image):
        return square_pixels(image, size, name)
    if isinstance(image, np.ndarray):
        return square_pixels(_from_array(image), size, name)
    if isinstance(image, str | Path):
        if not (path := Path(image).expanduser()).is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise UsageError(f"The image file {path} {found}.")
        return read_image(path, size)
    raise UsageError(
        "Expected an image as a path, bytes, a Pillow image or an array (H, W, 3), but got a "
        f"{type(image).__name__}."
    )


def image_name(image: ImageInput) -> str:
    """Return the name of an image file, or ``image`` for anything else than a path."""
    return Path(image).name if isinstance(image, str | Path) else "image"


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape or array.dtype != np.uint8:
        raise UsageError(
            "Expected an array of RGB pixels of shape (H, W, 3) and type uint8, but got shape "
            f"{array.shape} and type {array.dtype}."
        )
    return Image.fromarray(array)
