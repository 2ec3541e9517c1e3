"""Cases by id: which rows they are, or where they are instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import polars as pl

from vitatt.commands.parsing import as_words, did_you_mean
from vitatt.data.datamodule import LesionDataModule, Part
from vitatt.types import UsageError

_TOLD = 3


def cases_by_id(
    cases: pl.DataFrame, ids: Sequence[str] | str, datamodule: LesionDataModule, part: Part
) -> pl.DataFrame:
    """The rows of some cases.

    Args:
        cases: Of the part.
        ids: As given: a list, one id, or several with commas between.
        datamodule: Has the other parts, which an id may be in instead.
        part: Name of the part.

    Raises:
        UsageError: If one is not in the part; the message says where it is.
    """
    known = set(cases["case_id"])
    wanted = list(ids) if not isinstance(ids, str) else [ids]
    if isinstance(ids, str) and ids not in known:  # an id may have a comma in it
        wanted = as_words(ids)
    unknown = sorted(set(wanted) - known)
    if not unknown:
        return cases.filter(pl.col("case_id").is_in(wanted))
    split = datamodule.split
    where = f"the {part} part"
    if part != "predict":
        where += f" of fold {split.fold} of {split.num_folds}"
    told = " ".join(_whereabouts(one, datamodule, part) for one in unknown[:_TOLD])
    more = f" (Those are the first {_TOLD}.)" if len(unknown) > _TOLD else ""
    raise UsageError(
        f"{len(unknown)} of the chosen cases, {unknown[0]} among them, "
        f"{'are' if len(unknown) > 1 else 'is'} not in {where}, which has {cases.height} cases, "
        f"such as {cases['case_id'][0]}. {told}{more}"
    )


def _whereabouts(case_id: str, datamodule: LesionDataModule, part: Part) -> str:
    """A sentence on a case that is not in the part."""
    usable = datamodule.unlabelled if part == "predict" else datamodule.labelled
    if part != "predict":
        for other in get_args(Part):
            if other != "predict" and case_id in set(datamodule.part(other)["case_id"]):
                return f"{case_id} is in the {other} part: give --part={other}."
    every = usable.table.cases["case_id"].to_list()
    if case_id in usable.table.absent:
        return f"{case_id} is in the table, but there is no image file of it."
    if case_id in every:
        return f"{case_id} is in the table, but its image file cannot be read."
    return f"{case_id} is nowhere in {usable.table.root}.{did_you_mean(case_id, every)}"
