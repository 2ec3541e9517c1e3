"""Which cases are explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from vitatt.commands.case_ids import cases_by_id
from vitatt.commands.parsing import SEED
from vitatt.commands.progress import batches_on_device
from vitatt.data.datamodule import LesionDataModule, Part
from vitatt.models.classifier import LesionClassifier
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import UsageError


@dataclasses.dataclass
class Choice:
    """Which cases to explain; without any of the first three, a random sample.

    Attributes:
        ids: These cases; one id, or a list.
        diagnosis: Cases of this class.
        errors: So many of the worst errors: wrong with the highest confidence.
        sample: At most so many of what is left, drawn at random.
        seed: Decides the sample.
    """

    ids: list[str] | str = dataclasses.field(default_factory=list)
    diagnosis: str | None = None
    errors: int = 0
    sample: int = 24
    seed: int = 0

    def check(self, classes: Sequence[str]) -> None:
        """Look at the settings before the work begins.

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
        """The choice, as a report states it."""
        if self.ids:
            return "by id"
        words = [f"diagnosis {self.diagnosis}"] if self.diagnosis else []
        if self.errors:
            return ", ".join([*words, f"the {self.errors} worst errors"])
        return ", ".join([*words, f"random sample of at most {self.sample}, seed {self.seed}"])


_RANGES: Ranges = {"errors": Range(least=0), "sample": Range(least=1), "seed": SEED}


def candidates(
    cases: pl.DataFrame, choice: Choice, datamodule: LesionDataModule, part: Part
) -> pl.DataFrame:
    """The rows to choose from, as far as no model is needed to tell.

    Raises:
        UsageError: If ids are not there, or no case is left.
    """
    if len(choice.ids):
        return cases_by_id(cases, choice.ids, datamodule, part)
    if choice.diagnosis is not None:
        cases = cases.filter(pl.col("diagnosis") == choice.diagnosis)
    if choice.errors:  # what is not known cannot be wrong
        cases = cases.filter(pl.col("diagnosis").is_not_null())
    return _some(cases, choice)


def choose(
    cases: pl.DataFrame,
    choice: Choice,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Part,
) -> pl.DataFrame:
    """The rows to explain, of the candidates.

    Raises:
        UsageError: If no case is left.
    """
    if len(choice.ids):
        return cases
    if choice.errors:
        return _some(_worst_errors(cases, choice.errors, model, datamodule, part), choice)
    if cases.height > choice.sample:
        return cases.sample(choice.sample, seed=choice.seed)
    return cases


def _some(cases: pl.DataFrame, choice: Choice) -> pl.DataFrame:
    if cases.is_empty():
        raise UsageError(f"No case is left to explain ({choice.words()}).")
    return cases


def _worst_errors(
    cases: pl.DataFrame,
    count: int,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Part,
) -> pl.DataFrame:
    rows, confidence, start = [], [], 0
    with torch.inference_mode():
        for batch in batches_on_device(model, datamodule, part, cases, "predicting"):
            best, predicted = model(batch).logits.softmax(1).max(1)
            wrong = (predicted != batch.target) & (batch.target >= 0)
            rows += [start + place for place in wrong.nonzero().flatten().tolist()]
            confidence += best[wrong].tolist()
            start += len(batch.target)
    order = np.argsort(confidence)[::-1][:count]
    return cases[[rows[place] for place in order]]
