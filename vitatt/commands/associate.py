"""associate: how strongly each metadata feature goes with the diagnosis, on training rows."""

from __future__ import annotations

import polars as pl
from jsonargparse import ArgumentParser

from vitatt.commands.parsing import add_data_arguments
from vitatt.data.association import associate as associate_features
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.leaks import label_copies, missing_pattern, shared_images
from vitatt.data.paths import user_path
from vitatt.evaluation.association_picture import association_picture
from vitatt.files import claim_folder, write_frame, write_image


def associate(options: list[str]) -> int:
    """Print the table and what gives answers away; both, and a picture, into a folder if given."""
    parser = ArgumentParser(prog="vitatt associate", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--output", type=str | None, help="folder for the table and its picture")
    add_data_arguments(parser)
    settings = parser.instantiate_classes(parser.parse_args(options))
    datamodule: LesionDataModule = settings.data
    output = None if settings.output is None else user_path(settings.output, "--output")
    if output is not None:
        claim_folder(output)
    training, features = datamodule.part("train"), datamodule.spec.features
    table = associate_features(training, features)
    split = datamodule.split
    where = (
        f"{datamodule.spec.title}, fold {split.fold} of {split.num_folds}: {training.height} "
        f"training cases of {training['group'].n_unique()} {datamodule.spec.group}s"
    )
    print(f"{where}\n{_lines(table)}")
    leaks = [
        *label_copies(training, features),
        missing_pattern(training, features),
        *shared_images(datamodule.labelled),
    ]
    for leak in leaks:
        print(f"{'' if leak.ok else 'warning: '}{leak.check}: {leak.outcome}")
    if output is not None:
        write_frame(table, output / "association.csv")
        write_image(association_picture(table, title=where), output / "association.png")
        print(f"Table and picture: {output / 'association.csv'}, {output / 'association.png'}")
    return 0


def _lines(table: pl.DataFrame) -> str:
    """The table for people; the figures with three digits, shares in per cent."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        float_precision=3,
    ):
        shown = table.select(
            "feature",
            "measure",
            "association",
            pl.col("observed").alias("rows"),
            (pl.col("missing") * 100).round(0).cast(pl.Int64).alias("missing %"),
            pl.col("missing_association").alias("association of being missing"),
        )
        return str(shown)
