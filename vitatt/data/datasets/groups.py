"""Images of which nobody knows the patient or lesion: each becomes a group of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.data.datasets.csv_lines import first_line
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.types import DataError

_MEANING = (
    "each is a group of its own, so two images of one {group} among them may stand in training "
    "and test"
)


class Groups(NamedTuple):
    """The groups of a table.

    Attributes:
        column: A group for each case.
        ungrouped: How many images have one of their own, for want of a name.
        problem: Why these groups should not be relied on, in a sentence; empty if they may be.
        notes: What to say of them, one sentence each.
    """

    column: pl.Series
    ungrouped: int = 0
    problem: str = ""
    notes: tuple[str, ...] = ()


def complete_groups(
    cases: pl.DataFrame,
    spec: DatasetSpec,
    path: Path,
    *,
    named: bool,
    recorded: pl.Series | None = None,
    labelled: bool,
    allow_ungrouped: bool,
) -> Groups:
    """The groups of cases, those without one being groups of their own.

    Counts are of the cases that have an image, or of all cases if none has one.

    Args:
        cases: Rows with ``case_id``, ``group`` (null where unknown) and ``image``.
        spec: The dataset.
        path: The file that names the groups, for messages.
        named: Whether that file has the column of the groups.
        recorded: Whether each case has a row there; by default all, in the order of the file.
        labelled: Whether the cases are to be split; otherwise nothing is said.
        allow_ungrouped: Whether to go on where more groups are unknown than as published.

    Raises:
        DataError: If more are and this is not allowed.
    """
    column = pl.select(pl.coalesce(cases["group"], cases["case_id"]).alias("group")).to_series()
    if not labelled:
        return Groups(column)
    counted = cases["image"].is_not_null()
    counted = counted if counted.any() else pl.repeat(True, cases.height, eager=True)
    lacking = cases["group"].is_null() & counted
    bare = counted & ~recorded if recorded is not None else counted & False
    total, ungrouped = int(counted.sum()), int(lacking.sum())
    key, meaning = spec.group_column, _MEANING.format(group=spec.group)
    problem = ""
    if not named:
        problem = f"{path} has no column {key}, so that {total} images have no {spec.group}"
    elif bare.any():
        problem = (
            f"{int(bare.sum())} of {total} labelled images have no row in {path}, the first being "
            f"{cases.filter(bare)['case_id'][0]}, so that their {spec.group} is not known"
        )
    elif ungrouped > spec.ungrouped_share * total:
        where = f", {first_line(path, lacking)}" if recorded is None else ""
        problem = (
            f"{ungrouped} rows of {path} have no {key} ({total} images in all; the first is "
            f"{cases.filter(lacking)['case_id'][0]}{where})"
        )
    if problem and not allow_ungrouped:
        raise DataError(
            f"{problem}: {meaning}, and the scores would be too good. Fill in the column, or set "
            "`data.allow_ungrouped` to true to go on nevertheless."
        )
    note = f"{ungrouped} of {total} images have no {key}: {meaning}."
    return Groups(column, ungrouped, problem, (note,) if ungrouped else ())
