"""Selection of the cases to explain: by id, diagnosis, error or at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.models.classifier import LesionClassifier
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.studies.batches import batches_on_device
from vitatt.studies.case_ids import cases_by_id
from vitatt.types import UsageError


@dataclasses.dataclass(frozen=True)
class CaseSelection:
    """Cases to explain; without any of the first three, a random sample.

    Attributes:
        ids: These cases; one id, or a list.
        diagnosis: Cases of this class.
        errors: This number of the worst errors: wrong with the highest confidence.
        sample: Largest number of cases, drawn at random from the others.
        seed: Seed of the sample.
    """

    ids: Sequence[str] | str = ()
    diagnosis: str | None = None
    errors: int = 0
    sample: int = 24
    seed: int = 0

    def check(self, classes: Sequence[str]) -> None:
        """Check the settings before the work begins.

        Args:
            classes: Of the data.

        Raises:
            UsageError: If a number is out of its range, or there is no such class.
        """
        check_ranges(_RANGES, vars(self), "cases")
        if self.diagnosis is not None and self.diagnosis not in classes:
            raise UsageError(
                f"Expected `cases.diagnosis` to be one of {', '.join(classes)}, but got "
                f"'{self.diagnosis}'."
            )

    def words(self) -> str:
        """The selection, as a report states it."""
        if self.ids:
            return "by id"
        words = [f"diagnosis {self.diagnosis}"] if self.diagnosis else []
        if self.errors:
            return ", ".join([*words, f"the {self.errors} worst errors"])
        return ", ".join([*words, f"random sample of at most {self.sample}, seed {self.seed}"])


RANDOM_SAMPLE = CaseSelection()
"""At most 24 cases, drawn at random."""

_RANGES: Ranges = {"errors": Range(least=0), "sample": Range(least=1), "seed": SEED}


def candidates(
    cases: pl.DataFrame, selection: CaseSelection, datamodule: LesionDataModule, split: SplitName
) -> pl.DataFrame:
    """The rows to select from: by id or diagnosis, for which no model is needed.

    Raises:
        UsageError: If ids are not there, or no case is left.
    """
    if len(selection.ids):
        return cases_by_id(cases, selection.ids, datamodule, split)
    if selection.diagnosis is not None:
        cases = cases.filter(pl.col("diagnosis") == selection.diagnosis)
    if selection.errors:  # without diagnosis there is no error
        cases = cases.filter(pl.col("diagnosis").is_not_null())
    return _some(cases, selection)


def select_cases(
    cases: pl.DataFrame,
    selection: CaseSelection,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
) -> pl.DataFrame:
    """The rows to explain, of the candidates.

    Raises:
        UsageError: If no case is left.
    """
    if len(selection.ids):
        return cases
    if selection.errors:
        return _some(_worst_errors(cases, selection.errors, model, datamodule, split), selection)
    if cases.height > selection.sample:
        return cases.sample(selection.sample, seed=selection.seed)
    return cases


def _some(cases: pl.DataFrame, selection: CaseSelection) -> pl.DataFrame:
    if cases.is_empty():
        raise UsageError(f"No case is left to explain ({selection.words()}).")
    return cases


def _worst_errors(
    cases: pl.DataFrame,
    count: int,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
) -> pl.DataFrame:
    rows, confidence, start = [], [], 0
    with torch.inference_mode():
        for batch in batches_on_device(model, datamodule, split, cases, "predicting"):
            best, predicted = model(batch).logits.softmax(1).max(1)
            wrong = (predicted != batch.target) & (batch.target >= 0)
            rows += [start + place for place in wrong.nonzero().flatten().tolist()]
            confidence += best[wrong].tolist()
            start += len(batch.target)
    order = np.argsort(confidence)[::-1][:count]
    return cases[[rows[place] for place in order]]
