"""Table of cases, the same for all datasets, with one row per case: reading and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.datasets.spellings import known_values
from vitatt.data.datasets.table_files import RawTable, read_table
from vitatt.data.images.files import Pair, images_there
from vitatt.types import DataError
from vitatt.words import did_you_mean

_DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"


@dataclass(frozen=True)
class LesionTable:
    """All cases of a dataset.

    Attributes:
        spec: Description of the dataset and its columns.
        root: Folder of the files.
        cases: Columns ``case_id``, ``group``, ``diagnosis`` (null where unlabelled), ``image``
            (path, null where the file is absent) and one per feature: strings for categories,
            floats for numbers, null where missing.
        notes: Remarks on the files for the user, one sentence each.
        doubles: Pairs of image files that must hold the same bytes, see `ImageFiles.pairs`.
        ungrouped: Number of images that are a group of their own, because theirs is unknown.
        group_problem: Why the groups are unreliable, in one sentence; empty if they are reliable.
        lacking: Features without a column in the files, which were not needed.
    """

    spec: DatasetSpec
    root: Path
    cases: pl.DataFrame
    notes: tuple[str, ...] = ()
    doubles: tuple[Pair, ...] = ()
    ungrouped: int = 0
    group_problem: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def absent(self) -> list[str]:
        """Ids of the cases without an image file."""
        return self.cases.filter(pl.col("image").is_null())["case_id"].to_list()

    def with_images(self) -> pl.DataFrame:
        """Return the cases with an image file.

        Raises:
            DataError: If there is none.
        """
        present = self.cases.filter(pl.col("image").is_not_null())
        if present.is_empty():
            names = self.absent
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise DataError(
                f"None of the {self.cases.height} cases of {self.spec.title} ({shown}) has an "
                f"image file under {self.root}. {images_there(self.root)}. "
                f"{layout_help(self.spec)}"
            )
        return present


def layout_help(spec: DatasetSpec) -> str:
    """Return where to get a dataset and how to lay it out, for error messages."""
    where = "The folder given as `data.root` (or `data.predict_root`) must hold"
    if spec.published_at:
        where = (
            f"{spec.title} is published at {spec.published_at}. Unpack it so that the folder given "
            "as `data.root` (or `data.predict_root`) holds"
        )
    return f"{where} {spec.layout}."


def require_root(root: Path, spec: DatasetSpec) -> None:
    """Check that the folder of a dataset exists.

    Raises:
        DataError: If it does not; the message says where the dataset is published.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(f"The data folder {root} {found}. {layout_help(spec)}")


def read_strings(path: Path, columns: Sequence[str], spec: DatasetSpec) -> RawTable:
    """Return a table with every value as a stripped string, and missing values as null.

    Args:
        path: The file, see `find_table`.
        columns: Required columns; others are kept.
        spec: The dataset, for error messages.

    Raises:
        DataError: If the file is absent, no table, without rows, lacks a column, or has one twice.
    """
    if not path.is_file():
        raise DataError(f"Expected the file {path}, but it is not there. {layout_help(spec)}")
    frame, notes = read_table(path)
    if lacking := [name for name in columns if name not in frame.columns]:
        how = f" ({notes[0].removesuffix('.')})" if notes else ""
        raise DataError(
            f"{path} lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            f"it has {', '.join(frame.columns)}{how}."
            f"{''.join(did_you_mean(name, frame.columns) for name in lacking)} {_advice(spec)}"
        )
    if frame.is_empty():
        raise DataError(f"{path} has a header but no rows.")
    return RawTable(known_values(frame), notes)


def _advice(spec: DatasetSpec) -> str:
    """What to do about a column that is not there."""
    if spec.published_at:
        return layout_help(spec)
    return (
        f"Correct its name in the description '{spec.name}' or in the table; a feature that some "
        "tables lack may be `optional: true` in the description."
    )


def with_absent(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Add a column of missing values for each of these features that is not there."""
    absent = [name for name in names if name not in frame.columns]
    return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)


def to_numbers(frame: pl.DataFrame, column: str, case_column: str, path: Path) -> pl.Series:
    """Return a column of strings as floats; null stays null.

    A decimal comma is understood where it can be nothing else: "4,5" is, but a column of "1,234"
    alone may have thousands.

    Args:
        frame: Rows in the order of the file.
        column: Name of the column.
        case_column: Column that names a case, for error messages.
        path: The file, for error messages.

    Raises:
        DataError: If a value is not a finite number, or has a comma that may be either; the
            message names the first such case.
    """
    text = frame[column]
    commas, groups, points = (
        text.str.contains(pattern).fill_null(value=False)
        for pattern in (_DECIMAL_COMMA, _THOUSANDS, r"\d\.\d")
    )
    if groups.any() and (points.any() or not (commas & ~groups).any()):
        first = frame.filter(groups).row(0, named=True)
        raise DataError(
            f"Expected the column '{column}' of {path}, {first_line(path, groups)}, to hold "
            f"numbers with a decimal point, but case {first[case_column]} has '{first[column]}', "
            "whose comma may separate decimals or thousands. Write it with a point, or without "
            "thousands separators."
        )
    text = pl.select(
        pl.when(commas).then(text.str.replace(",", ".", literal=True)).otherwise(text)
    ).to_series()
    numbers = text.cast(pl.Float64, strict=False)
    wrong = frame[column].is_not_null() & (numbers.is_finite().not_() | numbers.is_null())
    if wrong.any():
        first, count = frame.filter(wrong).row(0, named=True), int(wrong.sum())
        raise DataError(
            f"Expected the column '{column}' of {path}, {first_line(path, wrong)}, to hold "
            f"numbers, but case {first[case_column]} has '{first[column]}' ({count} such "
            f"row{'s' if count > 1 else ''}). Correct the value, or leave it empty if it is "
            "unknown."
        )
    return numbers


def only_known_classes(cases: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Leave out every diagnosis that is no class, such as "pending", in cases to predict."""
    known = pl.col("diagnosis").is_in(list(spec.classes))
    return cases.with_columns(pl.when(known).then("diagnosis").alias("diagnosis"))


def check_cases(cases: pl.DataFrame, spec: DatasetSpec, path: Path) -> None:
    """Check that every case has a unique id, and a known class or none.

    Args:
        cases: Rows with ``case_id`` and ``diagnosis``, in the order of the file.
        spec: The dataset.
        path: The file, for error messages.

    Raises:
        DataError: If an id is absent or repeated, or a class is unknown.
    """
    require_ids(cases["case_id"], path)
    check_classes(cases, spec, path)


def check_classes(cases: pl.DataFrame, spec: DatasetSpec, path: Path) -> None:
    """Check that every row has a known class or none, see `check_cases`.

    Raises:
        DataError: If a class is unknown.
    """
    diagnosis = cases["diagnosis"]
    strange = diagnosis.is_not_null() & ~diagnosis.is_in(list(spec.classes))
    if strange.any():
        names = diagnosis.filter(strange).unique().sort().to_list()
        raise DataError(
            f"{path} has the unknown class{'es' if len(names) > 1 else ''} {', '.join(names)} "
            f"({int(strange.sum())} rows, the first in {first_line(path, strange)} being "
            f"{cases.filter(strange)['case_id'][0]}). "
            f"{spec.title} has: {', '.join(spec.classes)}."
        )


def require_ids(ids: pl.Series, path: Path) -> None:
    """Check that each row of a file has an id, and no two rows the same.

    Raises:
        DataError: If an id is missing or repeated.
    """
    if empty := ids.null_count():
        raise DataError(
            f"{empty} rows of {path} have no id, which names the case, the first in "
            f"{first_line(path, ids.is_null())}. Fill it in or remove them."
        )
    if (repeated := ids.is_duplicated()).any():
        first = ids.filter(repeated)[0]
        second = (ids == first) & ~ids.is_first_distinct()
        raise DataError(
            f"{path} has {ids.filter(repeated).n_unique()} ids of cases more than once, the first "
            f"being {first}, in {first_line(path, ids == first)} and {first_line(path, second)}. "
            "Each row must be one case; if each is one image of a case, describe them as `views`."
        )
