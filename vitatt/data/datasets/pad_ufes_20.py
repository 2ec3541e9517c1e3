"""PAD-UFES-20: smartphone images of skin lesions with the patient's anamnesis.

Source: Pacheco et al. 2020, "PAD-UFES-20: a skin lesion dataset composed of patient data and
clinical images collected from smartphones", Data in Brief 32, 106221.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from vitatt.data.datasets.groups import complete_groups
from vitatt.data.datasets.photographs import photographs
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.spellings import YES_NO, canonical, sexes
from vitatt.data.datasets.table import (
    LesionTable,
    check_cases,
    only_known_classes,
    read_strings,
    require_root,
    to_numbers,
    with_absent,
)
from vitatt.data.datasets.table_files import find_table
from vitatt.data.datasets.value_checks import odd_values
from vitatt.data.images.files import index_images
from vitatt.ranges import Range

_ORIGINS = {"BRASIL": "BRAZIL"}
_TYPES = {
    roman: str(number) for number, roman in enumerate(["I", "II", "III", "IV", "V", "VI"], start=1)
}
_REGIONS = (
    *("ABDOMEN", "ARM", "BACK", "CHEST", "EAR", "FACE", "FOOT", "FOREARM", "HAND", "LIP", "NECK"),
    *("NOSE", "SCALP", "SHIN", "THIGH"),
)
_PLURALS = {f"{name}S": name for name in _REGIONS} | {"FEET": "FOOT"}
_DIAMETER = Range(least=0, most=500)


def _question(name: str, label: str) -> Feature:
    return Feature(name, label, categories=("False", "True"), spellings=YES_NO)


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
        _question("smoke", "smokes"),
        _question("drink", "drinks alcohol"),
        Feature("background_father", "father's origin", spellings=_ORIGINS),
        Feature("background_mother", "mother's origin", spellings=_ORIGINS),
        Feature("age", "age", "numeric", "years", plausible=Range(least=0, most=120)),
        _question("pesticide", "pesticide exposure"),
        Feature(
            "gender", "gender", categories=("FEMALE", "MALE"), spellings=sexes("FEMALE", "MALE")
        ),
        _question("skin_cancer_history", "skin cancer before"),
        _question("cancer_history", "cancer before"),
        _question("has_piped_water", "piped water"),
        _question("has_sewage_system", "sewage system"),
        Feature("fitspatrick", "Fitzpatrick type", categories=tuple("123456"), spellings=_TYPES),
        Feature("region", "body region", categories=_REGIONS, spellings=_PLURALS),
        Feature("diameter_1", "diameter 1", "numeric", "mm", plausible=_DIAMETER),
        Feature("diameter_2", "diameter 2", "numeric", "mm", plausible=_DIAMETER),
        _question("itch", "itches"),
        _question("grew", "grew"),
        _question("hurt", "hurts"),
        _question("changed", "changed"),
        _question("bleed", "bleeds"),
        _question("elevation", "elevated"),
    ),
    group="patient",
    group_column="patient_id",
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
    positive="MEL",
)


def read(
    root: Path,
    *,
    labelled: bool,
    allow_ungrouped: bool = False,
    needed: Sequence[str] | None = None,
) -> LesionTable:
    """Return the cases in the published files.

    Args:
        root: Folder with ``metadata.csv``, in any form of table, and the images in any subfolders.
            Without labels, the images alone are enough.
        labelled: Whether the column ``diagnostic`` is required, and rows without one are left out.
            If not, a diagnosis that is no class is none.
        allow_ungrouped: Whether labelled images may be without a patient.
        needed: Features whose column must be there; by default all of them.

    Raises:
        DataError: If files or columns are absent, or values are invalid.
    """
    require_root(root, SPEC)
    path = find_table(root / "metadata.csv")
    if not labelled and not path.is_file() and (found := photographs(root, SPEC, path)):
        return found
    names = [feature.name for feature in SPEC.features]
    features = names if needed is None else needed
    required = ["img_id", *features, *(["diagnostic"] if labelled else [])]
    frame, remarks = read_strings(path, required, SPEC)
    lacking = tuple(name for name in names if name not in frame.columns)
    frame = with_absent(frame, names)
    files = index_images(root)
    named = SPEC.group_column in frame.columns
    diagnosis = (
        pl.col("diagnostic").str.to_uppercase() if "diagnostic" in frame.columns else pl.lit(None)
    )
    cases = frame.select(
        pl.col("img_id").alias("case_id"),
        (pl.col(SPEC.group_column) if named else pl.lit(None, pl.String)).alias("group"),
        diagnosis.cast(pl.String).alias("diagnosis"),
        files.of(frame["img_id"]).alias("image"),
        *(
            to_numbers(frame, feature.name, "img_id", path)
            if feature.kind == "numeric"
            else canonical(feature)
            for feature in SPEC.features
        ),
    )
    if not labelled:
        cases = only_known_classes(cases, SPEC)
    check_cases(cases, SPEC, path)
    groups = complete_groups(
        cases, SPEC, path, named=named, labelled=labelled, allow_ungrouped=allow_ungrouped
    )
    cases = cases.with_columns(groups.column)
    notes = [*remarks, *files.notes_on(cases["case_id"]), *groups.notes, *odd_values(cases, SPEC)]
    if labelled and (unlabelled := cases["diagnosis"].null_count()):
        notes.append(f"{unlabelled} rows of {path.name} have no diagnosis and are left out.")
        cases = cases.filter(pl.col("diagnosis").is_not_null())
    return LesionTable(
        SPEC,
        root,
        cases,
        tuple(notes),
        files.pairs(cases["case_id"]),
        groups.ungrouped,
        groups.problem,
        lacking,
    )
