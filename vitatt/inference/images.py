"""Images as callers have them: files, their content, Pillow images and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images.reading import read_image, read_image_bytes, square_pixels
from vitatt.types import UsageError
from vitatt.words import did_you_mean

ImageInput = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""Path of an image file, its content, a Pillow image, or RGB pixels (H, W, 3) uint8."""

CaseInput = ImageInput | Mapping[str, ImageInput | None]
"""The image of a case or, by the names of its views, each of them; an absent one is None."""


def read_case(
    case: CaseInput, views: Sequence[str], size: int
) -> tuple[NDArray[np.uint8], list[bool]]:
    """Return the pixels of a case, its views one below the other, and which of them are absent.

    Args:
        case: Its image, or its images by view.
        views: Names of the views; empty if a case is one image.
        size: Side of each image, in pixels.

    Returns:
        Pixels (V size, size, 3), black for an absent view, and V flags.

    Raises:
        UsageError: As `read_pixels` does; if there are views but `case` is one image, or the other
            way round; or if it has no view, or one of another name.
    """
    if not views:
        if isinstance(case, Mapping):
            raise UsageError(
                f"Expected one image of a case, but got images by name ({_names(case)}): this "
                "model was trained on cases of one image."
            )
        return read_pixels(case, size), [False]
    if not isinstance(case, Mapping):
        shown = ", ".join(f"'{view}': ..." for view in views)
        is_image = isinstance(case, str | Path | bytes | Image.Image | np.ndarray)
        found = "one image" if is_image else f"a {type(case).__name__}"
        raise UsageError(
            f"Expected the images of a case by the names of its views, {{{shown}}}, but got "
            f"{found}. A view that is absent may be left out."
        )
    for name in case:
        if name not in views:
            raise UsageError(
                f"Expected images of the views {', '.join(views)}, but got one of '{name}'."
                f"{did_you_mean(str(name), views)}"
            )
    images = [case.get(view) for view in views]
    absent = [image is None for image in images]
    if all(absent):
        raise UsageError(f"Expected an image of {' or '.join(views)}, but got none.")
    blank = np.zeros((size, size, 3), np.uint8)
    pixels = [blank if image is None else read_pixels(image, size) for image in images]
    return np.concatenate(pixels), absent


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
        return square_pixels(from_array(image), size, name)
    if image == "":
        raise UsageError("Expected the path of an image, but got an empty text.")
    if isinstance(image, str | Path):
        if not (path := Path(image).expanduser()).is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise UsageError(f"The image file {path} {found}.")
        return read_image(path, size)
    raise no_image(image)


def image_name(image: CaseInput) -> str:
    """Return the name of an image file or of the first view's, or ``image`` without a path."""
    if isinstance(image, Mapping):
        return next((image_name(one) for one in image.values() if one is not None), "image")
    return Path(image).name if isinstance(image, str | Path) else "image"


def from_array(array: NDArray[Any]) -> Image.Image:
    """Return pixels as a Pillow image.

    Raises:
        UsageError: If the array has another shape or type than (H, W, 3) uint8.
    """
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape or array.dtype != np.uint8:
        raise UsageError(
            "Expected an array of RGB pixels of shape (H, W, 3) and type uint8, but got shape "
            f"{array.shape} and type {array.dtype}."
        )
    return Image.fromarray(array)


def no_image(given: object) -> UsageError:
    """Return the error of something that is given as an image and can be none."""
    return UsageError(
        "Expected an image as a path, bytes, a Pillow image or an array (H, W, 3), but got a "
        f"{type(given).__name__}."
    )


def _names(case: Mapping[Any, object]) -> str:
    return ", ".join(str(name) for name in case)
