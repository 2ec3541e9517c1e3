"""The command `vitatt associate`."""

from __future__ import annotations

import polars as pl

from vitatt.data.checks.check_data import text_table
from vitatt.data.checks.leaks import label_copies, missing_pattern, shared_images
from vitatt.data.metadata.association import associate as associate_features
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.options import DataSettings
from vitatt.paths import user_path
from vitatt.plotting.association import association_figure
from vitatt.studies.inputs import make_datamodule


def associate(data: DataSettings, *, output: str | None = None) -> int:
    """Print the association of each metadata feature with the diagnosis, and what leaks it.

    Args:
        data: Arguments of `LesionDataModule`; the training rows of its fold are looked at.
        output: New folder for the table, ``association.csv``, and its figure.

    Returns:
        0.

    Raises:
        UsageError: If a setting is unknown or out of its range, or the folder is not empty or
            cannot be made.
        DataError: If the data cannot be read.
    """
    datamodule = make_datamodule(data)
    folder = None if output is None else user_path(output, "--output")
    if folder is not None:
        claim_folder(folder)
    training, features = datamodule.cases("train"), datamodule.spec.features
    table = associate_features(training, features)
    spec, fold_spec = datamodule.spec, datamodule.fold_spec
    where = (
        f"{spec.title}, fold {fold_spec.fold} of {fold_spec.num_folds}: {training.height} "
        f"training cases of {training['group'].n_unique()} {spec.group}s"
    )
    print(f"{where}\n{_lines(table)}")
    leaks = [
        *label_copies(training, features),
        missing_pattern(training, features),
        *shared_images(datamodule.labelled),
    ]
    for leak in leaks:
        print(f"{'' if leak.ok else 'warning: '}{leak.check}: {leak.outcome}")
    if folder is not None:
        write_frame(table, folder / "association.csv")
        write_image(association_figure(table, title=where), folder / "association.png")
        print(f"Table and figure: {folder / 'association.csv'}, {folder / 'association.png'}")
    return 0


def _lines(table: pl.DataFrame) -> str:
    """The table for people; the metrics with three digits, shares in per cent."""
    shown = table.select(
        "feature",
        "measure",
        "association",
        pl.col("observed").alias("rows"),
        (pl.col("missing") * 100).round(0).cast(pl.Int64).alias("missing %"),
        pl.col("missing_association").alias("association of being missing"),
    )
    return text_table(shown, float_precision=3)
