"""Files of the cases of a study: images without metadata, and maps over them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images.reading import read_upright
from vitatt.plotting.heatmap import overlay
from vitatt.reader_study.study_case import ImageFile, MapFile, MapMethod
from vitatt.reader_study.study_folder import write_bytes

LONGEST = 1024
"""Longer side of the images that readers see, in pixels."""

Maps = dict[MapMethod, tuple[MapFile, ...]]


def write_case_files(
    case_id: str,
    paths: Sequence[str | None],
    views: Sequence[str],
    maps: Mapping[MapMethod, NDArray[np.float32]],
    folder: Path,
) -> tuple[tuple[ImageFile, ...], Maps]:
    """Write images and maps of a case, and return their names and digests.

    Images are decoded and encoded again as PNG, so that nothing but pixels is left: no name, place,
    time or camera. An overlay has the size of its image, since a model sees the whole image.

    Args:
        case_id: Name in the study, which the files are named by.
        paths: Image of each view; None where it is absent.
        views: Names of the views; empty if there is one image.
        maps: Relevance (V h, w) by method.
        folder: Of the study.
    """
    images: list[ImageFile] = []
    found: dict[MapMethod, list[MapFile]] = {method: [] for method in maps}
    for place, path in enumerate(paths):
        if path is None:
            continue
        view = views[place] if views else ""
        stem = f"{case_id}-{place + 1}"
        pixels = read_upright(path, LONGEST)
        name = f"images/{stem}.png"
        images.append(ImageFile(view=view, file=name, sha256=_write_png(pixels, folder / name)))
        for method, relevance in maps.items():
            grid = np.split(relevance, len(paths))[place]
            most = float(relevance.max()) or None
            drawn = overlay(grid, pixels.shape[:2], most=most)
            file = f"maps/{stem}-{method}"
            found[method].append(
                MapFile(
                    view=view,
                    file=f"{file}.png",
                    sha256=_write_png(drawn, folder / f"{file}.png"),
                    grid=f"{file}.npy",
                    grid_sha256=write_bytes(_npy(grid), folder / f"{file}.npy"),
                )
            )
    return tuple(images), {method: tuple(files) for method, files in found.items()}


def _write_png(pixels: NDArray[np.uint8], path: Path) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return write_bytes(stream.getvalue(), path)


def _npy(grid: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(grid), allow_pickle=False)
    return stream.getvalue()
