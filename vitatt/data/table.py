"""One row a case, whatever the dataset: reading, checking and naming what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vitatt.data.schema import DataError, DatasetSpec

UNKNOWN = ("", "UNK", "UNKNOWN", "NA", "N/A", "NAN", "NONE", "NULL")
"""Spellings of "not recorded", compared in upper case."""


@dataclass(frozen=True)
class LesionTable:
    """All cases of a dataset.

    Attributes:
        spec: What the columns mean.
        root: Where the files are.
        cases: Columns ``case_id``, ``group``, ``diagnosis`` (null where unlabelled), ``image``
            (path, null where the file is absent) and one per feature: strings for categories,
            floats for numbers, null where missing.
        notes: Oddities of the files, one sentence each, for people.
    """

    spec: DatasetSpec
    root: Path
    cases: pl.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def absent(self) -> list[str]:
        """Ids of the cases whose image file is not there."""
        return self.cases.filter(pl.col("image").is_null())["case_id"].to_list()

    def with_images(self) -> pl.DataFrame:
        """The cases whose image file is there.

        Raises:
            DataError: If there is none.
        """
        present = self.cases.filter(pl.col("image").is_not_null())
        if present.is_empty():
            raise DataError(
                f"None of the {self.cases.height} cases of {self.spec.title} has an image file "
                f"under {self.root}. {layout_help(self.spec)}"
            )
        return present


def layout_help(spec: DatasetSpec) -> str:
    """Where to get a dataset and how to lay it out, for error messages."""
    return (
        f"{spec.title} is published at {spec.published_at}. Unpack it so that the folder given as "
        f"`data.root` (or `data.predict_root`) holds {spec.layout}."
    )


def require_root(root: Path, spec: DatasetSpec) -> None:
    """Check that a dataset's folder is there.

    Raises:
        DataError: If it is not; the message says where the dataset is published.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"The data folder {root} {found}. {layout_help(spec)}")


def read_strings(path: Path, columns: Sequence[str], spec: DatasetSpec) -> pl.DataFrame:
    """A CSV file, every value as a stripped string, unknown values as null.

    Args:
        path: The file, with or without byte-order mark and carriage returns.
        columns: Columns that must be there; others are kept.
        spec: The dataset, for error messages.

    Raises:
        DataError: If the file is absent, not a CSV, empty, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"Expected the file {path}, but it is not there. {layout_help(spec)}")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a CSV file: {first_line}") from error
    # polars renames the second of two equal columns
    names = [re.sub(r"_duplicated_\d+$", "", name).strip() for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has the column {twice[0]} twice. Remove one of them.")
    frame.columns = names
    if lacking := [name for name in columns if name not in frame.columns]:
        raise DataError(
            f"{path} lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            f"it has {', '.join(frame.columns)}. {layout_help(spec)}"
        )
    if frame.is_empty():
        raise DataError(f"{path} has a header but no rows.")
    stripped = pl.col(pl.String).str.strip_chars()
    unknown = stripped.str.to_uppercase().is_in(list(UNKNOWN))
    return frame.with_columns(pl.when(unknown).then(None).otherwise(stripped).name.keep())


def to_numbers(frame: pl.DataFrame, column: str, case_column: str, path: Path) -> pl.Series:
    """A column of strings as floats, null staying null.

    Raises:
        DataError: If a value is no finite number; the message names the first such case.
    """
    numbers = frame[column].cast(pl.Float64, strict=False)
    wrong = frame.filter(
        frame[column].is_not_null() & (numbers.is_finite().not_() | numbers.is_null())
    )
    if not wrong.is_empty():
        case, value = wrong.row(0, named=True)[case_column], wrong[column][0]
        raise DataError(
            f"Expected the column '{column}' of {path} to hold numbers, but case {case} has "
            f"'{value}' ({wrong.height} such row{'s' if wrong.height > 1 else ''}). Correct the "
            "value, or leave it empty if it is unknown."
        )
    return numbers


def check_cases(cases: pl.DataFrame, spec: DatasetSpec, path: Path) -> None:
    """Check what no dataset may break: ids once each, a group for each, known classes only.

    Raises:
        DataError: If an id is absent or repeated, a group is absent, or a class is unknown.
    """
    for column, meaning in (("case_id", "image name"), ("group", spec.group)):
        if empty := cases[column].null_count():
            raise DataError(f"{empty} rows of {path} have no {meaning}. Fill it in or remove them.")
    repeated = cases.filter(pl.col("case_id").is_duplicated())["case_id"]
    if not repeated.is_empty():
        raise DataError(
            f"{path} has {repeated.n_unique()} image names more than once, the first being "
            f"{repeated[0]}. Each row must be one image."
        )
    strange = cases.filter(
        pl.col("diagnosis").is_not_null() & ~pl.col("diagnosis").is_in(list(spec.classes))
    )
    if not strange.is_empty():
        names = strange["diagnosis"].unique().sort().to_list()
        raise DataError(
            f"{path} has the unknown class{'es' if len(names) > 1 else ''} {', '.join(names)} "
            f"({strange.height} rows, the first being {strange['case_id'][0]}). "
            f"{spec.title} has: {', '.join(spec.classes)}."
        )


def index_images(root: Path, suffixes: Iterable[str]) -> dict[str, str]:
    """Image files below a folder by file name, whatever folders they lie in.

    A name that occurs in two folders (a doubled unpacking) counts once if both files have the same
    size.

    Raises:
        DataError: If two files of one name differ in size.
    """
    wanted = tuple(suffixes)
    found: dict[str, str] = {}
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders.sort()
        for name in sorted(names):
            if not name.lower().endswith(wanted) or name.startswith("."):
                continue
            path = os.path.join(folder, name)  # noqa: PTH118 (a Path per file is slow at 10^6 files)
            other = found.setdefault(name, path)
            if other != path and not (os.path.exists(other) and os.path.exists(path)):  # noqa: PTH110
                found[name] = path if os.path.exists(path) else other  # noqa: PTH110
                continue  # one is a link to nowhere
            if other != path and os.path.getsize(other) != os.path.getsize(path):  # noqa: PTH202
                raise DataError(
                    f"Two different files are named {name}: {other} and {path}. Keep one of them."
                )
    return found
