"""ISIC 2019: dermoscopic images with age, sex and site.

Sources: Tschandl et al. 2018 (HAM10000), Codella et al. 2018 (MSK),
Combalia et al. 2019 (BCN20000).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vitatt.data.schema import DataError, DatasetSpec, Feature
from vitatt.data.table import (
    LesionTable,
    check_cases,
    index_images,
    layout_help,
    read_strings,
    require_root,
    to_numbers,
)

SPEC = DatasetSpec(
    name="isic_2019",
    title="ISIC 2019",
    classes=("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"),
    class_titles={
        "MEL": "melanoma",
        "NV": "melanocytic nevus",
        "BCC": "basal cell carcinoma",
        "AK": "actinic keratosis",
        "BKL": "benign keratosis",
        "DF": "dermatofibroma",
        "VASC": "vascular lesion",
        "SCC": "squamous cell carcinoma",
    },
    features=(
        Feature("age_approx", "age", "numeric", "years"),
        Feature("sex", "sex"),
        Feature("anatom_site_general", "body site"),
    ),
    group="lesion",
    published_at="https://challenge.isic-archive.com/data/#2019",
    layout=(
        "ISIC_2019_Training_GroundTruth.csv, ISIC_2019_Training_Metadata.csv and the JPEG images "
        "in ISIC_2019_Training_Input/ (for prediction also ISIC_2019_Test_Metadata.csv with "
        "ISIC_2019_Test_Input/)"
    ),
    id_column="image",
    unknown_class="UNK",
    barred={
        "image": "it identifies the image, and so would not generalise",
        "lesion_id": "it identifies the lesion, and so would not generalise",
    },
    subgroups=("sex", "age_approx", "anatom_site_general"),
    melanoma="MEL",
)


def read(root: Path, *, labelled: bool) -> LesionTable:
    """Read the published files.

    Args:
        root: Folder with the CSV files and the images in any subfolders.
        labelled: Whether the ground truth must be there. Without it the training part or, if that
            is not there, the test part is read.

    Raises:
        DataError: If files or columns are absent or values make no sense.
    """
    require_root(root, SPEC)
    training = root / "ISIC_2019_Training_Metadata.csv"
    test = root / "ISIC_2019_Test_Metadata.csv"
    path = training if labelled or not test.is_file() else test
    feature_names = [feature.name for feature in SPEC.features]
    metadata = read_strings(path, ["image", *feature_names], SPEC)
    if metadata["image"].is_duplicated().any():
        first = metadata.filter(pl.col("image").is_duplicated())["image"][0]
        raise DataError(f"{path} has the image {first} more than once. Each row must be one image.")
    if "lesion_id" not in metadata.columns:
        metadata = metadata.with_columns(pl.lit(None, pl.String).alias("lesion_id"))
    metadata = metadata.select("image", "lesion_id", *feature_names)
    truth = root / "ISIC_2019_Training_GroundTruth.csv"
    notes: tuple[str, ...] = ()
    if labelled:
        frame, notes = _join(_read_truth(truth), metadata, path)
    elif path == training and truth.is_file():
        frame = metadata.join(_read_truth(truth), on="image", how="left", maintain_order="left")
    else:
        frame = metadata.with_columns(pl.lit(None, pl.String).alias("diagnosis"))
    frame = frame.join(_files(root), on="image", how="left", maintain_order="left")
    cases = frame.select(
        pl.col("image").alias("case_id"),
        pl.coalesce("lesion_id", "image").alias("group"),
        "diagnosis",
        pl.col("file").alias("image"),
        *(
            to_numbers(frame, feature.name, "image", path)
            if feature.kind == "numeric"
            else pl.col(feature.name).str.to_lowercase()
            for feature in SPEC.features
        ),
    )
    check_cases(cases, SPEC, path)
    return LesionTable(SPEC, root, cases, notes)


def _files(root: Path) -> pl.DataFrame:
    """Columns ``image``, a name without its suffix, and ``file``, its path."""
    found = index_images(root, (".jpg", ".jpeg"))
    names = pl.Series("image", list(found), dtype=pl.String).str.replace(r"\.[^.]*$", "")
    files = pl.DataFrame([names, pl.Series("file", list(found.values()), dtype=pl.String)])
    return files.unique("image", keep="last", maintain_order=True)


def _read_truth(path: Path) -> pl.DataFrame:
    """Columns ``image`` and ``diagnosis`` from the one-hot ground truth."""
    frame = read_strings(path, ["image", *SPEC.classes], SPEC)
    extra = [name for name in frame.columns if name not in ("image", *SPEC.classes)]
    columns = [*SPEC.classes, *extra]
    frame = frame.with_columns(*(to_numbers(frame, name, "image", path) for name in columns))
    one_hot = pl.all_horizontal(pl.col(columns).is_in([0.0, 1.0])) & (
        pl.sum_horizontal(columns) == 1.0
    )
    wrong = frame.filter(~one_hot.fill_null(False))
    if not wrong.is_empty():
        raise DataError(
            f"Expected exactly one class per row of {path}, but {wrong.height} rows differ, the "
            f"first being {wrong['image'][0]}. {layout_help(SPEC)}"
        )
    truth = frame.select(
        pl.col("image").alias("case_id"),
        pl.col("image").alias("group"),
        pl.coalesce(pl.when(pl.col(name) == 1.0).then(pl.lit(name)) for name in columns).alias(
            "diagnosis"
        ),
    )
    check_cases(truth, SPEC, path)
    return truth.select(pl.col("case_id").alias("image"), "diagnosis")


def _join(
    truth: pl.DataFrame, metadata: pl.DataFrame, path: Path
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    recorded = metadata.with_columns(recorded=True)
    frame = truth.join(recorded, on="image", how="left", maintain_order="left")
    notes = []
    if bare := frame["recorded"].null_count():
        notes.append(f"{bare} labelled images are not in {path.name}: their metadata is missing.")
    if unlabelled := metadata.height - (truth.height - bare):
        notes.append(f"{unlabelled} rows of {path.name} have no ground truth and are left out.")
    return frame.drop("recorded"), tuple(notes)
