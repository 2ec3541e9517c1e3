"""A folder of photographs without a table, to predict."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.datasets.table import LesionTable
from vitatt.data.datasets.table_files import READERS
from vitatt.data.images.files import image_paths
from vitatt.types import DataError


def photographs(root: Path, spec: DatasetSpec, lacking: Path) -> LesionTable | None:
    """Return the images of a folder as cases whose answers are all missing.

    Args:
        root: The folder; images may be in subfolders, and lesion masks are none. A case is named by
            its path from here.
        spec: The dataset whose model predicts them.
        lacking: The table that is not there, for the message.

    Returns:
        The cases, or None if there is no image.

    Raises:
        DataError: If there is another table, which may have the answers, or cases have views.
    """
    notes: list[str] = []
    masks = ("_segmentation.png", "_decoy.png")
    paths = [path for path in image_paths(root, notes) if not path.endswith(masks)]
    if not paths:
        return None
    if spec.views:
        raise DataError(
            f"{lacking} is not there. It is needed to tell which of the {len(paths)} images below "
            f"{root} belong to one case, and which of {', '.join(spec.views)} each one is."
        )
    others = sorted(path.name for path in root.iterdir() if path.suffix.lower() in READERS)
    if others:
        raise DataError(
            f"{lacking} is not there, but {', '.join(others[:3])} is: answers would be left out. "
            f"Name the table {lacking.name}; to predict from the images alone, move it elsewhere."
        )
    names = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    cases = pl.DataFrame({"case_id": names, "image": paths}).select(
        "case_id",
        pl.col("case_id").alias("group"),
        pl.lit(None, pl.String).alias("diagnosis"),
        "image",
        *(
            pl.lit(None, pl.Float64 if feature.kind == "numeric" else pl.String).alias(feature.name)
            for feature in spec.features
        ),
    )
    notes.append(
        f"{lacking} is not there: the {cases.height} images below {root} are predicted from the "
        "image alone, every answer being missing."
    )
    return LesionTable(spec, root, cases, tuple(notes))
