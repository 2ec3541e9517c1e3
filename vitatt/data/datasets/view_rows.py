"""Tables with a row for each view of a case, such as close-up and dermoscopic."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.description import Description
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.spellings import compared_text
from vitatt.data.datasets.table import require_ids
from vitatt.types import DataError
from vitatt.words import did_you_mean


def image_columns(spec: DatasetSpec) -> list[str]:
    """Return the columns that hold the images of a case while its table is read."""
    return [f" {view}" for view in spec.views] or ["image"]  # no column of a file begins so


def one_row_per_case(
    rows: pl.DataFrame, view: pl.Series, description: Description, path: Path
) -> tuple[pl.DataFrame, list[str]]:
    """Return a row for each case, with its images in the columns of `image_columns`; and notes.

    A value that one of a case's rows lacks is taken from the others. A feature in which they differ
    is missing.

    Args:
        rows: Columns ``case_id``, ``image``, features, and others that are the case's; in the order
            of the file.
        view: Published name of the view of each row.
        description: Of the dataset.
        path: The file, for messages.

    Raises:
        DataError: If a row has no case or an unknown view, or a case has two rows of one view, or
            rows of two groups or labels; the message names the first such row.
    """
    spec = description.spec
    if (empty := rows["case_id"].is_null()).any():
        require_ids(rows["case_id"].filter(empty), path)
    names = view.unique().drop_nulls().to_list()
    known = {name: description.view_of.get(compared_text(name)) for name in names}
    rows = rows.with_columns(
        view.replace_strict(known, default=None, return_dtype=pl.String).alias(_VIEW)
    )
    _require_views(rows, view, description, path)
    notes = []
    for column in rows.columns:
        if column in ("case_id", "image", _VIEW, *(one.name for one in _of_views(spec))):
            continue
        differs = pl.col(column).drop_nulls().n_unique().over("case_id") > 1
        if (wrong := rows.select(differs).to_series()).any():
            found = _difference(rows, column, wrong)
            if column not in {feature.name for feature in spec.features}:
                common = f"of one {spec.group} and one label"
                if column not in ("group", "diagnosis"):
                    common = "alike in the column `label_key`, by which a case has one label"
                raise DataError(
                    f"Expected the rows of a case to be {common}, but those of {found}, "
                    f"{first_line(path, wrong)} of {path}. Correct them."
                )
            rows = rows.with_columns(pl.when(~wrong).then(column).alias(column))
            notes.append(
                f"{rows['case_id'].filter(wrong).n_unique()} cases of {path.name} have rows that "
                f"differ in '{column}', which is taken to be missing: those of {found}."
            )
    own = {feature.name: pl.col(_VIEW) == feature.view for feature in _of_views(spec)}
    image_of = zip(image_columns(spec), spec.views, strict=True)
    cases = rows.group_by("case_id", maintain_order=True).agg(
        *(_first("image", pl.col(_VIEW) == name).alias(column) for column, name in image_of),
        *(
            _first(column, own.get(column, pl.lit(value=True)))
            for column in rows.columns
            if column not in ("case_id", "image", _VIEW)
        ),
    )
    return cases, notes


def without_empty_lists(cases: pl.DataFrame) -> pl.DataFrame:
    """Return the cases with null in place of a list of absent images alone."""
    some = pl.col("image").list.drop_nulls().list.len() > 0
    return cases.with_columns(pl.when(some).then("image").alias("image"))


_VIEW = " of view"


def _of_views(spec: DatasetSpec) -> list[Feature]:
    return [feature for feature in spec.features if feature.view]


def _first(column: str, where: pl.Expr) -> pl.Expr:
    return pl.col(column).filter(where).drop_nulls().first()


def _require_views(
    rows: pl.DataFrame, view: pl.Series, description: Description, path: Path
) -> None:
    views = description.spec.views
    if (unknown := rows[_VIEW].is_null()).any():
        first = view.filter(unknown)[0]
        found = "none" if first is None else f"'{first}'"
        raise DataError(
            f"Expected the column '{description.view_column}' of {path}, "
            f"{first_line(path, unknown)}, to name a view, but case "
            f"{rows['case_id'].filter(unknown)[0]} has {found} ({int(unknown.sum())} such "
            f"rows). Views are: {', '.join(views)}.{did_you_mean(first or '', views)}"
        )
    place = pl.struct("case_id", _VIEW)
    if (twice := rows.select(~place.is_first_distinct()).to_series()).any():
        case, name = rows.filter(twice).select("case_id", _VIEW).row(0)
        raise DataError(
            f"Expected one row of {path} for each view of a case, but {case} has two of '{name}', "
            f"the second in {first_line(path, twice)} ({int(twice.sum())} such rows). Keep one, or "
            f"let `{description.spec.id_column}`, which is the `id`, tell them apart."
        )


def _difference(rows: pl.DataFrame, column: str, wrong: pl.Series) -> str:
    """The first case whose rows differ, with two of their values."""
    case = rows["case_id"].filter(wrong)[0]
    values = rows.filter(pl.col("case_id") == case)[column].drop_nulls()
    shown = " and ".join(f"'{value}'" for value in values.unique(maintain_order=True)[:2])
    return f"{case} have {shown}"
