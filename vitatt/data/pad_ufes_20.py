"""PAD-UFES-20: smartphone images of skin lesions with the patient's anamnesis.

Source: Pacheco et al. 2020, "PAD-UFES-20: a skin lesion dataset composed of patient data and
clinical images collected from smartphones", Data in Brief 32, 106221.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vitatt.data.schema import DatasetSpec, Feature
from vitatt.data.table import (
    LesionTable,
    check_cases,
    index_images,
    read_strings,
    require_root,
    to_numbers,
)

SPEC = DatasetSpec(
    name="pad_ufes_20",
    title="PAD-UFES-20",
    classes=("ACK", "BCC", "MEL", "NEV", "SCC", "SEK"),
    class_titles={
        "ACK": "actinic keratosis",
        "BCC": "basal cell carcinoma",
        "MEL": "melanoma",
        "NEV": "nevus",
        "SCC": "squamous cell carcinoma",
        "SEK": "seborrheic keratosis",
    },
    features=(
        Feature("smoke", "smokes"),
        Feature("drink", "drinks alcohol"),
        Feature("background_father", "father's origin"),
        Feature("background_mother", "mother's origin"),
        Feature("age", "age", "numeric", "years"),
        Feature("pesticide", "pesticide exposure"),
        Feature("gender", "gender"),
        Feature("skin_cancer_history", "skin cancer before"),
        Feature("cancer_history", "cancer before"),
        Feature("has_piped_water", "piped water"),
        Feature("has_sewage_system", "sewage system"),
        Feature("fitspatrick", "Fitzpatrick type"),
        Feature("region", "body region"),
        Feature("diameter_1", "diameter 1", "numeric", "mm"),
        Feature("diameter_2", "diameter 2", "numeric", "mm"),
        Feature("itch", "itches"),
        Feature("grew", "grew"),
        Feature("hurt", "hurts"),
        Feature("changed", "changed"),
        Feature("bleed", "bleeds"),
        Feature("elevation", "elevated"),
    ),
    group="patient",
    published_at="https://data.mendeley.com/datasets/zr7vgbcyr2/1 (doi:10.17632/zr7vgbcyr2.1)",
    layout="metadata.csv and the PNG images, in images/, imgs_part_1..3/ or any other subfolders",
    id_column="img_id",
    barred={
        "biopsed": "it gives the label away, since every cancer was confirmed by biopsy",
        "diagnostic": "it is the label",
        "patient_id": "it identifies the patient, and so would not generalise",
        "lesion_id": "it identifies the lesion, and so would not generalise",
        "img_id": "it identifies the image, and so would not generalise",
    },
    subgroups=("fitspatrick", "gender", "age", "region"),
    melanoma="MEL",
)

_SPELLINGS = {"TRUE": "True", "FALSE": "False", "BRASIL": "BRAZIL"}


def read(root: Path, *, labelled: bool) -> LesionTable:
    """Read the published files.

    Args:
        root: Folder with ``metadata.csv`` and the images in any subfolders.
        labelled: Whether the ``diagnostic`` column must be there.

    Raises:
        DataError: If files or columns are absent or values make no sense.
    """
    require_root(root, SPEC)
    path = root / "metadata.csv"
    feature_names = [feature.name for feature in SPEC.features]
    required = ["img_id", "patient_id", *feature_names, *(["diagnostic"] if labelled else [])]
    frame = read_strings(path, required, SPEC)
    files = index_images(root, (".png", ".jpg", ".jpeg"))
    diagnosis = (
        pl.col("diagnostic").str.to_uppercase() if "diagnostic" in frame.columns else pl.lit(None)
    )
    cases = frame.select(
        pl.col("img_id").alias("case_id"),
        pl.col("patient_id").alias("group"),
        diagnosis.cast(pl.String).alias("diagnosis"),
        pl.col("img_id").replace_strict(files, default=None, return_dtype=pl.String).alias("image"),
        *(
            to_numbers(frame, feature.name, "img_id", path)
            if feature.kind == "numeric"
            else _canonical(feature.name)
            for feature in SPEC.features
        ),
    )
    check_cases(cases, SPEC, path)
    if labelled and (unlabelled := cases["diagnosis"].null_count()):
        note = f"{unlabelled} rows of {path.name} have no diagnosis and are left out."
        return LesionTable(SPEC, root, cases.filter(pl.col("diagnosis").is_not_null()), (note,))
    return LesionTable(SPEC, root, cases)


def _canonical(column: str) -> pl.Expr:
    """One spelling per category: ``TRUE`` is ``True``, ``2.0`` is ``2``."""
    upper = pl.col(column).str.to_uppercase().str.replace(r"\.0+$", "")
    return upper.replace(_SPELLINGS)
