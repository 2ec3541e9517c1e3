"""Groups of the cases; an image of unknown patient or lesion is a group of its own."""

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
        column: Group of each case.
        ungrouped: Number of images that are a group of their own, because theirs is unknown.
        problem: Why the groups are unreliable, in one sentence; empty if they are reliable.
        notes: Remarks for the user, one sentence each.
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
    """Return the group of each case; a case of unknown group is a group of its own.

    Messages count the cases that have an image, or all cases if none has one.

    Args:
        cases: Rows with ``case_id``, ``group`` (null where unknown) and ``image``.
        spec: The dataset.
        path: The file that names the groups, for messages.
        named: Whether that file has a column of groups.
        recorded: Whether each case has a row in that file; None if `cases` are all of its rows, in
            the order of the file.
        labelled: Whether the cases are to be split; if not, unknown groups are not reported.
        allow_ungrouped: Whether to accept more cases of unknown group than in the published data.

    Raises:
        DataError: If there are more, and they are not accepted.
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
