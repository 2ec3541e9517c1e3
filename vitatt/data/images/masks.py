"""Lesion masks, as published for ISIC images and as written with the synthetic data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from vitatt.paths import escaped, is_text
from vitatt.types import DataError


def with_masks(cases: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return the cases that have a mask, with its path as column ``mask``.

    Args:
        cases: Rows with ``image``.
        folder: Folder of the files ``<image name without suffix>_segmentation.png``.

    Raises:
        DataError: If there is no such folder, two images would have one mask, or cases have views.
    """
    check_folder(folder)
    if isinstance(cases.schema["image"], pl.List):
        raise DataError(
            "Lesion masks are compared with the map of one image, but these cases have several "
            "views. Leave the folder of lesion masks out."
        )
    stems: dict[str, str] = {}
    for image in cases["image"]:
        if (other := stems.setdefault(Path(image).stem, image)) != image:
            raise DataError(
                f"The images {other} and {image} would have one lesion mask, "
                f"{Path(image).stem}_segmentation.png in {folder}. Rename one of them."
            )
    paths = [folder / f"{Path(image).stem}_segmentation.png" for image in cases["image"]]
    found = pl.Series("mask", [str(path) if path.is_file() else None for path in paths])
    return cases.with_columns(found.cast(pl.String)).drop_nulls("mask")


def check_folder(folder: Path) -> None:
    """Check that the folder of lesion masks exists.

    Raises:
        DataError: If it does not, or its name is not UTF-8.
    """
    if not is_text(str(folder)):
        raise DataError(
            f"The name of the folder of lesion masks is no UTF-8: {escaped(str(folder))}. Rename "
            "it."
        )
    if not folder.is_dir():
        raise DataError(
            f"The folder of lesion masks {folder} does not exist. It should hold one file per "
            "image, named <image name without suffix>_segmentation.png."
        )


def read_mask(path: Path | str, size: int) -> NDArray[np.bool_]:
    """Return a mask (size, size) that is True on the lesion (grey values above 127).

    The whole mask is scaled to the square, as images are.

    Raises:
        DataError: If the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            grey = image.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"The lesion mask {path} cannot be read: {error}") from error
    return np.asarray(grey.resize((size, size), Image.Resampling.NEAREST)) > 127
