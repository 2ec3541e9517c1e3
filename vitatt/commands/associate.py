"""associate: how strongly each metadata feature goes with the diagnosis, on training rows."""

from __future__ import annotations

import polars as pl
from jsonargparse import ArgumentParser

from vitatt.commands.parsing import add_data_arguments
from vitatt.data.checks.leaks import label_copies, missing_pattern, shared_images
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.metadata.association import associate as associate_features
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.paths import user_path
from vitatt.plotting.association import association_figure


def associate(options: list[str]) -> int:
    """Print the table and what gives answers away; both, and a figure, into a folder if given."""
    parser = ArgumentParser(prog="vitatt associate", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--output", type=str | None, help="folder for the table and its figure")
    add_data_arguments(parser)
    settings = parser.instantiate_classes(parser.parse_args(options))
    datamodule: LesionDataModule = settings.data
    output = None if settings.output is None else user_path(settings.output, "--output")
    if output is not None:
        claim_folder(output)
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
    if output is not None:
        write_frame(table, output / "association.csv")
        write_image(association_figure(table, title=where), output / "association.png")
        print(f"Table and figure: {output / 'association.csv'}, {output / 'association.png'}")
    return 0


def _lines(table: pl.DataFrame) -> str:
    """The table for people; the metrics with three digits, shares in per cent."""
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
