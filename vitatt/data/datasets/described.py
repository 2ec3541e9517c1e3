"""Read the cases of a dataset that a description explains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.description import Description
from vitatt.data.datasets.groups import complete_groups
from vitatt.data.datasets.photographs import photographs
from vitatt.data.datasets.spellings import canonical, compared_text
from vitatt.data.datasets.table import (
    LesionTable,
    check_cases,
    only_known_classes,
    read_strings,
    require_ids,
    require_root,
    to_numbers,
    with_absent,
)
from vitatt.data.datasets.table_files import find_table
from vitatt.data.datasets.value_checks import odd_values
from vitatt.data.images.files import ImageFiles, index_images
from vitatt.types import DataError

_RECORDED = " recorded"  # no column of a file begins with a space


def read_described(
    description: Description,
    root: Path,
    *,
    labelled: bool,
    allow_ungrouped: bool = False,
    needed: Sequence[str] | None = None,
) -> LesionTable:
    """Return the cases in a folder.

    Args:
        description: Of the folder.
        root: Folder with the table, and the images in any subfolders. Without labels, the images
            alone are enough.
        labelled: Whether labels are required, and rows without one are left out. If not, a label
            that is no class is none.
        allow_ungrouped: Whether labelled images may be without a group.
        needed: Features whose column must be there; by default all of them.

    Raises:
        DataError: If files or columns are absent, or values are invalid.
    """
    spec = description.spec
    require_root(root, spec)
    path = find_table(root / description.table)
    if not labelled and not path.is_file() and (found := photographs(root, spec, path)):
        return found
    frame, remarks, lacking = _read_values(description, path, labelled=labelled, needed=needed)
    notes = [*remarks]
    named = spec.group_column in frame.columns
    values = _values(with_absent(frame, [spec.group_column]), description, path)
    recorded = None
    if description.label_table is None:
        cases = values.with_columns(_diagnosis(frame, description, path))
    else:
        cases, of_labels = _with_labels(values, description, root, labelled=labelled)
        notes += of_labels
        recorded = cases[_RECORDED].fill_null(value=False) if labelled else None
    files = index_images(root)
    images = cases["image"]
    cases = cases.select(
        "case_id",
        "group",
        "diagnosis",
        _paths(images, root, files).alias("image"),
        *(feature.name for feature in spec.features),
    )
    if not labelled:
        cases = only_known_classes(cases, spec)
    check_cases(cases, spec, path)
    groups = complete_groups(
        cases,
        spec,
        path,
        named=named,
        recorded=recorded,
        labelled=labelled,
        allow_ungrouped=allow_ungrouped,
    )
    cases = cases.with_columns(groups.column)
    notes += [*files.notes_on(images), *groups.notes, *odd_values(cases, spec)]
    if labelled and (unlabelled := cases["diagnosis"].null_count()):
        notes.append(f"{unlabelled} rows of {path.name} have no label and are left out.")
        cases = cases.drop_nulls("diagnosis")
    return LesionTable(
        spec,
        root,
        cases,
        tuple(notes),
        files.pairs(images),
        groups.ungrouped,
        groups.problem,
        lacking,
    )


def _read_values(
    description: Description, path: Path, *, labelled: bool, needed: Sequence[str] | None
) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The table with a column for each feature and label; remarks; features that it lacks."""
    spec = description.spec
    names = [feature.name for feature in spec.features]
    own = _label_columns(description) if description.label_table is None else []
    required = [
        spec.id_column,
        *_columns_of(description.image),
        *(names if needed is None else needed),
        *(own if labelled else []),
    ]
    frame, remarks = read_strings(path, list(dict.fromkeys(required)), spec)
    lacking = tuple(name for name in names if name not in frame.columns)
    return with_absent(frame, [*names, *own]), remarks, lacking


def _values(frame: pl.DataFrame, description: Description, path: Path) -> pl.DataFrame:
    """Id, group, name of the image, and features, in the order of the file."""
    spec = description.spec
    return frame.select(
        pl.col(spec.id_column).alias("case_id"),
        pl.col(spec.group_column).alias("group"),
        _image_names(frame, description.image),
        *(
            to_numbers(frame, feature.name, spec.id_column, path)
            if feature.kind == "numeric"
            else canonical(feature)
            for feature in spec.features
        ),
    )


def _with_labels(
    values: pl.DataFrame, description: Description, root: Path, *, labelled: bool
) -> tuple[pl.DataFrame, list[str]]:
    """The cases with the labels of another table, and notes on rows of one table only."""
    spec, table = description.spec, root / description.table
    path = find_table(root / str(description.label_table))
    require_ids(values["case_id"], table)
    if not labelled and not path.is_file():
        return values.with_columns(pl.lit(None, pl.String).alias("diagnosis")), []
    frame, remarks = read_strings(path, [spec.id_column, *_label_columns(description)], spec)
    labels = frame.select(
        pl.col(spec.id_column).alias("case_id"), _diagnosis(frame, description, path)
    )
    check_cases(labels, spec, path)
    if not labelled:
        return values.join(labels, on="case_id", how="left", maintain_order="left"), []
    both = labels.join(
        values.with_columns(pl.lit(value=True).alias(_RECORDED)),
        on="case_id",
        how="left",
        maintain_order="left",
    )
    if _columns_of(description.image) == [spec.id_column]:
        of_id = _image_names(
            both.select(pl.col("case_id").alias(spec.id_column)), description.image
        )
        both = both.with_columns(of_id)
    notes = [*remarks]
    if bare := both[_RECORDED].null_count():
        notes.append(f"{bare} labelled cases are not in {table.name}: their metadata is missing.")
    if unlabelled := values.height - (labels.height - bare):
        notes.append(f"{unlabelled} rows of {table.name} have no label and are left out.")
    return both, notes


def _label_columns(description: Description) -> list[str]:
    label = description.label
    return [label] if isinstance(label, str) else list(label)


def _columns_of(pattern: str) -> list[str]:
    """The columns in braces."""
    return re.findall(r"{([^{}]*)}", pattern)


def _image_names(frame: pl.DataFrame, pattern: str) -> pl.Series:
    """The name of each row's image file; null where a column in it is empty."""
    parts = re.split(r"{([^{}]*)}", pattern)  # text and columns in turn
    exprs = [pl.col(part) if n % 2 else pl.lit(part) for n, part in enumerate(parts)]
    return frame.select(pl.concat_str(exprs).alias("image")).to_series()


def _paths(names: pl.Series, root: Path, files: ImageFiles) -> pl.Series:
    """The file of each name: the one at this path below the folder, else the one of this name."""
    plain = names.str.replace_all("\\\\", "/", literal=True)
    below = {
        name: str(path)
        for name in plain.filter(plain.str.contains("/")).unique().to_list()
        if (path := root / name).is_file()
    }
    by_path = plain.replace_strict(below, default=None, return_dtype=pl.String)
    return pl.select(pl.coalesce(by_path, files.of(names))).to_series()


def _diagnosis(frame: pl.DataFrame, description: Description, path: Path) -> pl.Series:
    """The class of each row, null where unknown; text that is no class stays as it is."""
    if isinstance(description.label, str):
        text = frame[description.label]
        classes = {
            value: description.class_of.get(compared_text(value), value)
            for value in text.drop_nulls().unique().to_list()
        }
        found = text.replace_strict(classes, default=None, return_dtype=pl.String)
        return found.alias("diagnosis")
    columns = list(description.label)
    spec = description.spec
    numbers = pl.DataFrame([to_numbers(frame, name, spec.id_column, path) for name in columns])
    empty = numbers.select(pl.all_horizontal(pl.all().is_null())).to_series()
    one_hot = numbers.select(
        pl.all_horizontal(pl.all().is_in([0.0, 1.0])) & (pl.sum_horizontal(pl.all()) == 1.0)
    ).to_series()
    wrong = ~empty & ~one_hot.fill_null(value=False)
    if wrong.any():
        raise DataError(
            f"Expected one class with 1, and 0 for all others, in each row of {path}, but "
            f"{int(wrong.sum())} rows differ, the first, {first_line(path, wrong)}, being "
            f"{frame.filter(wrong)[spec.id_column][0]}."
        )
    return numbers.select(
        pl.coalesce(pl.when(pl.col(name) == 1.0).then(pl.lit(name)) for name in columns).alias(
            "diagnosis"
        )
    ).to_series()
