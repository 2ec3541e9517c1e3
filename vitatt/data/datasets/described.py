"""Read the cases of a dataset that a description explains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.description import Description, Form
from vitatt.data.datasets.groups import complete_groups
from vitatt.data.datasets.photographs import photographs
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.spellings import canonical, compared_text
from vitatt.data.datasets.table import (
    LesionTable,
    check_cases,
    check_classes,
    only_known_classes,
    read_strings,
    require_ids,
    require_root,
    to_numbers,
    with_absent,
)
from vitatt.data.datasets.table_files import find_table
from vitatt.data.datasets.value_checks import odd_values
from vitatt.data.datasets.view_rows import image_columns, one_row_per_case, without_empty_lists
from vitatt.data.images.files import IMAGE_ENDINGS, index_images
from vitatt.types import DataError

_RECORDED = " recorded"  # no column of a file begins with a space
_KEY = " key"


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
    require_root(root, description.spec)
    form, path = _form_there(description, root, labelled=labelled)
    if not labelled and not path.is_file() and (found := photographs(root, description.spec, path)):
        return found
    frame, remarks, lacking = _read_values(
        description, form, path, labelled=labelled, needed=needed
    )
    notes = [*remarks]
    spec = replace(description.spec, group_column=_group_column(frame, description))
    if spec.group_column != description.spec.group_column:
        notes.append(
            f"{path.name} has no {description.spec.group_column}: groups are those of "
            f"{spec.group_column}."
        )
    named = spec.group_column in frame.columns
    rows = _rows(with_absent(frame, [spec.group_column]), description, form, spec, path)
    recorded = None
    if form.label_table is None:
        rows = rows.with_columns(_diagnosis(frame, description, form, path))
    if description.view_column is not None:
        if form.label_table is None and labelled:
            check_classes(rows, spec, path)
        view = frame[description.view_column]
        rows, of_rows = one_row_per_case(rows, view, description, path)
        notes += of_rows
        recorded = pl.repeat(True, rows.height, eager=True)
    cases = rows
    if form.label_table is not None:
        cases, of_labels = _with_labels(rows, description, form, root, path, labelled=labelled)
        notes += of_labels
        recorded = cases[_RECORDED].fill_null(value=False) if labelled else recorded
    columns = image_columns(spec)
    images = pl.concat([cases[name] for name in columns]).alias("image")
    below = _found_below(images, root)
    others = pl.select(pl.when(below.is_null()).then(images).alias("image")).to_series()
    files = index_images(
        root,
        description.endings,
        without_ending=not _have_endings(images),
        places=description.places,
    )
    paths = pl.select(pl.coalesce(below, files.of(others))).to_series()
    of_view = [
        paths.slice(number * cases.height, cases.height).alias(name)
        for number, name in enumerate(columns)
    ]
    cases = cases.with_columns(of_view).select(
        "case_id",
        "group",
        "diagnosis",
        pl.concat_list(columns).alias("image") if spec.views else "image",
        *(feature.name for feature in spec.features),
    )
    if spec.views:
        if (lost := images.is_not_null() & paths.is_null()).any():
            notes.append(
                f"{int(lost.sum())} images that {path.name} names have no file below {root}, and "
                f"their views are absent, the first being {images.filter(lost)[0]}."
            )
        there = pl.col("image").list.drop_nulls()
        twice = cases.filter(there.list.n_unique() < there.list.len())["case_id"]
        if not twice.is_empty():
            notes.append(
                f"{twice.len()} cases of {path.name} have one file as several of their views, the "
                f"first being {twice[0]}. Correct their names if these are images of their own."
            )
        cases = without_empty_lists(cases)
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
    notes += [*files.notes_on(others), *groups.notes, *odd_values(cases, spec)]
    if labelled and (unlabelled := cases["diagnosis"].null_count()):
        other = " or ".join(["no label", *description.left_out])
        notes.append(f"{unlabelled} rows of {path.name} have {other} and are left out.")
        cases = cases.drop_nulls("diagnosis")
    return LesionTable(
        spec,
        root,
        cases,
        tuple(notes),
        files.pairs(others),
        groups.ungrouped,
        groups.problem,
        lacking,
    )


def _form_there(description: Description, root: Path, *, labelled: bool) -> tuple[Form, Path]:
    """The form of which there is a table, and this table; the first form if there is none."""
    for form in description.forms:
        if not labelled and form.predict_table is not None:
            path = find_table(root / form.predict_table)
            if path.is_file():
                return form._replace(label_table=None), path
        path = find_table(root / form.table)
        if path.is_file():
            return form, path
    return description.forms[0], root / description.forms[0].table


def _read_values(
    description: Description,
    form: Form,
    path: Path,
    *,
    labelled: bool,
    needed: Sequence[str] | None,
) -> tuple[pl.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """The table with a column for each feature and label; remarks; features that it lacks."""
    spec = description.spec
    always = [feature.name for feature in spec.features if not feature.optional]
    own = _label_columns(form) if form.label_table is None else []
    column_of = {feature.name: feature.column for feature in spec.features}
    required = [
        spec.id_column,
        *([] if description.view_column is None else [description.view_column]),
        *(column for image in description.images for column in _columns_of(image)),
        *(column_of[name] for name in (always if needed is None else needed)),
        *(own if labelled else []),
        *([form.label_key] if form.label_key and form.label_table else []),
    ]
    frame, remarks = read_strings(path, list(dict.fromkeys(required)), spec)
    lacking = tuple(name for name, column in column_of.items() if column not in frame.columns)
    return with_absent(frame, [*column_of.values(), *_label_columns(form)]), remarks, lacking


def _group_column(frame: pl.DataFrame, description: Description) -> str:
    """The first of the columns that may name the group that has values."""
    known = [name for name in description.groups if name in frame.columns]
    used = [name for name in known if frame[name].null_count() < frame.height]
    return next(iter([*used, *known]), description.groups[0])


def _rows(
    frame: pl.DataFrame, description: Description, form: Form, spec: DatasetSpec, path: Path
) -> pl.DataFrame:
    """Id, group, names of images, key of the label, and features, in the order of the file."""
    named = image_columns(spec) if description.view_column is None else ["image"]
    rows = frame.select(
        pl.col(spec.id_column).alias("case_id"),
        pl.col(spec.group_column).alias("group"),
        *(
            _image_names(frame, pattern).alias(name)
            for name, pattern in zip(named, description.images, strict=True)
        ),
        pl.col(form.label_key or spec.id_column).alias(_KEY),
    )
    for column in dict.fromkeys(feature.column for feature in spec.features):
        features = [feature for feature in spec.features if feature.column == column]
        feature = replace(features[0], name=column)
        values = (
            to_numbers(frame, column, spec.id_column, path)
            if feature.kind == "numeric"
            else frame.select(canonical(feature, lower=_in_lower_case(feature))).to_series()
        )
        rows = rows.with_columns(values.alias(one.name) for one in features)
    return rows


def _in_lower_case(feature: Feature) -> bool:
    return bool(feature.categories) and all(name == name.lower() for name in feature.categories)


def _with_labels(
    values: pl.DataFrame,
    description: Description,
    form: Form,
    root: Path,
    table: Path,
    *,
    labelled: bool,
) -> tuple[pl.DataFrame, list[str]]:
    """The cases with the labels of another table, and notes on rows of one table only."""
    spec = description.spec
    key = form.label_key or spec.id_column
    path = find_table(root / str(form.label_table))
    require_ids(values["case_id"], table)
    if not labelled and not path.is_file():
        return values.with_columns(pl.lit(None, pl.String).alias("diagnosis")), []
    frame, remarks = read_strings(path, [key, *_label_columns(form)], spec)
    labels = frame.select(
        pl.col(key).alias("case_id"), _diagnosis(frame, description, form, path, key)
    )
    check_cases(labels, spec, path)
    labels = labels.rename({"case_id": _KEY})
    if not labelled:
        return values.join(labels, on=_KEY, how="left", maintain_order="left"), []
    marked = values.with_columns(pl.lit(value=True).alias(_RECORDED))
    both = labels.join(marked, on=_KEY, how="left", maintain_order="left")
    notes = [*remarks]
    if bare := both[_RECORDED].null_count():
        notes.append(f"{bare} labelled cases are not in {table.name}: their metadata is missing.")
    if unlabelled := values.height - int(both[_RECORDED].count()):
        notes.append(f"{unlabelled} rows of {table.name} have no label and are left out.")
    if form.label_key is not None:
        return both.drop_nulls("case_id"), notes  # without a row, there is no image either
    both = both.with_columns(pl.col(_KEY).alias("case_id"))
    if description.view_column is None:
        of_id = both.select(pl.col(_KEY).alias(spec.id_column))
        both = both.with_columns(
            _image_names(of_id, pattern).alias(name)
            for name, pattern in zip(image_columns(spec), description.images, strict=True)
            if _columns_of(pattern) == [spec.id_column]
        )
    return both, notes


def _label_columns(form: Form) -> list[str]:
    return [form.label] if isinstance(form.label, str) else list(form.label)


def _columns_of(pattern: str) -> list[str]:
    """The columns in braces."""
    return re.findall(r"{([^{}]*)}", pattern)


def _image_names(frame: pl.DataFrame, pattern: str) -> pl.Series:
    """The name of each row's image file; null where a column in it is empty."""
    parts = re.split(r"{([^{}]*)}", pattern)  # text and columns in turn
    exprs = [pl.col(part) if n % 2 else pl.lit(part) for n, part in enumerate(parts)]
    return frame.select(pl.concat_str(exprs).alias("image")).to_series()


def _have_endings(names: pl.Series) -> bool:
    """Whether any name of an image ends as the name of a file does."""
    ends = [pl.col("image").str.to_lowercase().str.ends_with(ending) for ending in IMAGE_ENDINGS]
    return bool(pl.DataFrame({"image": names}).select(pl.any_horizontal(ends)).to_series().any())


def _found_below(names: pl.Series, root: Path) -> pl.Series:
    """The file at the path below the folder that each name is, null where there is none."""
    plain = names.str.replace_all("\\", "/", literal=True)
    below = {
        name: str(path)
        for name in plain.filter(plain.str.contains("/")).unique().to_list()
        if (path := root / name).is_file()
    }
    return plain.replace_strict(below, default=None, return_dtype=pl.String)


def _diagnosis(
    frame: pl.DataFrame,
    description: Description,
    form: Form,
    path: Path,
    key: str | None = None,
) -> pl.Series:
    """The class of each row, null where unknown; text that is no class stays as it is."""
    if isinstance(form.label, str):
        text = frame[form.label]
        left_out = {compared_text(label) for label in description.left_out}
        classes = {
            value: description.class_of.get(compared_text(value), value)
            for value in text.drop_nulls().unique().to_list()
            if compared_text(value) not in left_out
        }
        found = text.replace_strict(classes, default=None, return_dtype=pl.String)
        return found.alias("diagnosis")
    unknown = description.spec.unknown_class
    columns = [*form.label, *([unknown] if unknown in frame.columns else [])]
    key = key or description.spec.id_column
    numbers = pl.DataFrame([to_numbers(frame, name, key, path) for name in columns])
    empty = numbers.select(pl.all_horizontal(pl.all().is_null())).to_series()
    one_hot = numbers.select(
        pl.all_horizontal(pl.all().is_in([0.0, 1.0])) & (pl.sum_horizontal(pl.all()) == 1.0)
    ).to_series()
    wrong = ~empty & ~one_hot.fill_null(value=False)
    if wrong.any():
        raise DataError(
            f"Expected exactly one class per row of {path} (1 for it, 0 for all others), but "
            f"{int(wrong.sum())} rows differ, the first, {first_line(path, wrong)}, being "
            f"{frame.filter(wrong)[key][0]}."
        )
    return numbers.select(
        pl.coalesce(pl.when(pl.col(name) == 1.0).then(pl.lit(name)) for name in columns).alias(
            "diagnosis"
        )
    ).to_series()
