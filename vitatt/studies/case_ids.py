"""Selection of cases by id; for an unknown id, the split that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import polars as pl

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.types import UsageError
from vitatt.words import as_words, did_you_mean

_TOLD = 3


def cases_by_id(
    cases: pl.DataFrame, ids: Sequence[str] | str, datamodule: LesionDataModule, split: SplitName
) -> pl.DataFrame:
    """The rows of some cases.

    Args:
        cases: Of the split.
        ids: As given: a list, one id, or several with commas between.
        datamodule: Has the other splits, which an id may be in instead.
        split: Name of the split.

    Raises:
        UsageError: If one is not in the split; the message says where it is.
    """
    known = set(cases["case_id"])
    wanted = list(ids) if not isinstance(ids, str) else [ids]
    if isinstance(ids, str) and ids not in known:  # an id may have a comma in it
        wanted = as_words(ids)
    unknown = sorted(set(wanted) - known)
    if not unknown:
        return cases.filter(pl.col("case_id").is_in(wanted))
    fold_spec = datamodule.fold_spec
    where = f"the {split} split"
    if split != "predict":
        where += f" of fold {fold_spec.fold} of {fold_spec.num_folds}"
    told = " ".join(_whereabouts(one, datamodule, split) for one in unknown[:_TOLD])
    more = f" (Those are the first {_TOLD}.)" if len(unknown) > _TOLD else ""
    raise UsageError(
        f"{len(unknown)} of the chosen cases, {unknown[0]} among them, "
        f"{'are' if len(unknown) > 1 else 'is'} not in {where}, which has {cases.height} cases, "
        f"such as {cases['case_id'][0]}. {told}{more}"
    )


def _whereabouts(case_id: str, datamodule: LesionDataModule, split: SplitName) -> str:
    """A sentence on a case that is not in the split."""
    usable = datamodule.unlabelled if split == "predict" else datamodule.labelled
    if split != "predict":
        for other in get_args(SplitName):
            if other != "predict" and case_id in set(datamodule.cases(other)["case_id"]):
                return f"{case_id} is in the {other} split: give --split={other}."
    every = usable.table.cases["case_id"].to_list()
    if case_id in usable.table.absent:
        return f"{case_id} is in the table, but there is no image file of it."
    if case_id in every:
        return f"{case_id} is in the table, but its image file cannot be read."
    return f"{case_id} is nowhere in {usable.table.root}.{did_you_mean(case_id, every)}"
