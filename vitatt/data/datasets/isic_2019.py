"""ISIC 2019: dermoscopic images with age, sex and site.

Sources: Tschandl et al. 2018 (HAM10000), Codella et al. 2018 (MSK),
Combalia et al. 2019 (BCN20000).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.groups import complete_groups
from vitatt.data.datasets.photographs import photographs
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.spellings import canonical, sexes
from vitatt.data.datasets.table import (
    LesionTable,
    check_cases,
    layout_help,
    read_strings,
    require_ids,
    require_root,
    to_numbers,
    with_absent,
)
from vitatt.data.datasets.table_files import find_table
from vitatt.data.datasets.value_checks import odd_values
from vitatt.data.images.files import index_images
from vitatt.ranges import Range
from vitatt.types import DataError

_SITES = (
    *("anterior torso", "head/neck", "lateral torso", "lower extremity", "oral/genital"),
    *("palms/soles", "posterior torso", "upper extremity"),
)
_SITE_SPELLINGS = {
    name.upper().replace("/", joint): name
    for name in _SITES
    for joint in (" ", " / ", "-", " AND ", " & ")
}

WEIGHTS = ("score_weight", "validation_weight")
"""Columns of the ground truth of the test images, which are no classes; see `vitatt score`."""

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
        Feature("age_approx", "age", "numeric", "years", plausible=Range(least=0, most=120)),
        Feature("sex", "sex", categories=("female", "male"), spellings=sexes("female", "male")),
        Feature("anatom_site_general", "body site", categories=_SITES, spellings=_SITE_SPELLINGS),
    ),
    group="lesion",
    group_column="lesion_id",
    ungrouped_share=0.2,  # some 8 % as published
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
        root: Folder with the tables, in any form, and the images in any subfolders. Without
            labels, the images alone are enough.
        labelled: Whether to read the cases of the ground truth. Otherwise those of the published
            test metadata are read or, if this file does not exist, of the training metadata.
        allow_ungrouped: Whether more labelled images than as published may be without a lesion.
        needed: Features whose column must be there; by default all of them.

    Raises:
        DataError: If files or columns are absent, or values are invalid.
    """
    require_root(root, SPEC)
    training = find_table(root / "ISIC_2019_Training_Metadata.csv")
    test = find_table(root / "ISIC_2019_Test_Metadata.csv")
    path = training if labelled or not test.is_file() else test
    if not labelled and not path.is_file() and (found := photographs(root, SPEC, path)):
        return found
    metadata, named, lacking, notes = _read_metadata(path, needed)
    truth = find_table(root / "ISIC_2019_Training_GroundTruth.csv")
    recorded = None
    if labelled:
        frame, of_join = _join(_read_truth(truth), metadata.drop_nulls("image"), path)
        notes = (*notes, *of_join)
        recorded = frame["recorded"].fill_null(value=False)
    else:
        require_ids(metadata["image"], path)
        if path == training and truth.is_file():
            frame = metadata.join(_read_truth(truth), on="image", how="left", maintain_order="left")
        else:
            frame = metadata.with_columns(pl.lit(None, pl.String).alias("diagnosis"))
    files = index_images(root, (".jpg", ".jpeg"), name_of=lambda file: file.rpartition(".")[0])
    cases = frame.select(
        pl.col("image").alias("case_id"),
        pl.col("lesion_id").alias("group"),
        "diagnosis",
        files.of(frame["image"]).alias("image"),
        *(feature.name for feature in SPEC.features),
    )
    groups = complete_groups(
        cases,
        SPEC,
        path,
        named=named,
        recorded=recorded,
        labelled=labelled,
        allow_ungrouped=allow_ungrouped,
    )
    cases = cases.with_columns(groups.column)
    return LesionTable(
        SPEC,
        root,
        cases,
        (*files.notes_on(cases["case_id"]), *notes, *groups.notes, *odd_values(cases, SPEC)),
        files.pairs(cases["case_id"]),
        groups.ungrouped,
        groups.problem,
        lacking,
    )


class _Metadata(NamedTuple):
    """Columns ``image``, ``lesion_id`` and the features, and remarks on their file.

    Attributes:
        frame: The columns.
        named: Whether the file names lesions.
        lacking: Features that the file has not.
        notes: Remarks for the user.
    """

    frame: pl.DataFrame
    named: bool
    lacking: tuple[str, ...]
    notes: tuple[str, ...]


def _read_metadata(path: Path, needed: Sequence[str] | None) -> _Metadata:
    names = [feature.name for feature in SPEC.features]
    frame, notes = read_strings(path, ["image", *(names if needed is None else needed)], SPEC)
    lacking = tuple(name for name in names if name not in frame.columns)
    frame = with_absent(frame, names)
    image = frame["image"]
    if (twice := image.is_duplicated() & image.is_not_null()).any():
        first = image.filter(twice)[0]
        second = (image == first) & ~image.is_first_distinct()
        raise DataError(
            f"{path} has the image {first} more than once, in {first_line(path, image == first)} "
            f"and {first_line(path, second)}. Each row must be one image."
        )
    named = "lesion_id" in frame.columns
    lesion = pl.col("lesion_id") if named else pl.lit(None, pl.String).alias("lesion_id")
    values = [
        to_numbers(frame, feature.name, "image", path)
        if feature.kind == "numeric"
        else canonical(feature, lower=True)
        for feature in SPEC.features
    ]
    return _Metadata(frame.select("image", lesion, *values), named, lacking, notes)


def _read_truth(path: Path) -> pl.DataFrame:
    """Return columns ``image`` and ``diagnosis`` from the one-hot ground truth."""
    frame, _ = read_strings(path, ["image", *SPEC.classes], SPEC)
    extra = [name for name in frame.columns if name not in ("image", *SPEC.classes, *WEIGHTS)]
    columns = [*SPEC.classes, *extra]
    frame = frame.with_columns(*(to_numbers(frame, name, "image", path) for name in columns))
    one_hot = pl.all_horizontal(pl.col(columns).is_in([0.0, 1.0])) & (
        pl.sum_horizontal(columns) == 1.0
    )
    wrong = frame.select(~one_hot.fill_null(False)).to_series()
    if wrong.any():
        raise DataError(
            f"Expected exactly one class per row of {path}, but {int(wrong.sum())} rows differ, "
            f"the first, {first_line(path, wrong)}, being {frame.filter(wrong)['image'][0]}. "
            f"{layout_help(SPEC)}"
        )
    truth = frame.select(
        pl.col("image").alias("case_id"),
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
    return frame, tuple(notes)
