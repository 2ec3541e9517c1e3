"""Which cases are explained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import torch

from vitatt.commands.progress import batches_on_device
from vitatt.data.datamodule import LesionDataModule
from vitatt.models.classifier import LesionClassifier
from vitatt.types import UsageError


@dataclasses.dataclass
class Choice:
    """Which cases to explain; without any of the first three, a random sample.

    Attributes:
        ids: These cases.
        diagnosis: Cases of this class.
        errors: So many of the worst errors: wrong with the highest confidence.
        sample: At most so many of what is left, drawn at random.
        seed: Decides the sample.
    """

    ids: list[str] = dataclasses.field(default_factory=list)
    diagnosis: str | None = None
    errors: int = 0
    sample: int = 24
    seed: int = 0

    def check(self) -> None:
        """Look at the settings before the work begins.

        Raises:
            UsageError: If a number is out of its range.
        """
        for name, least in (("errors", 0), ("sample", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise UsageError(
                    f"Expected `cases.{name}` to be at least {least}, but got {value}."
                )

    def words(self) -> str:
        """The choice, as a report states it."""
        if self.ids:
            return "by id"
        words = [f"diagnosis {self.diagnosis}"] if self.diagnosis else []
        if self.errors:
            return ", ".join([*words, f"the {self.errors} worst errors"])
        return ", ".join([*words, f"random sample of at most {self.sample}, seed {self.seed}"])


def choose(
    cases: pl.DataFrame,
    choice: Choice,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
) -> pl.DataFrame:
    """The rows to explain.

    Raises:
        UsageError: If ids or the class are not there, or no case is left.
    """
    if unknown := sorted(set(choice.ids) - set(cases["case_id"])):
        raise UsageError(
            f"{len(unknown)} of the chosen cases, {unknown[0]} among them, are not in the {part} "
            f"part. It has {cases.height} cases, such as {cases['case_id'][0]}."
        )
    if choice.diagnosis is not None and choice.diagnosis not in datamodule.spec.classes:
        raise UsageError(
            f"Expected `cases.diagnosis` to be one of {', '.join(datamodule.spec.classes)}, but "
            f"got '{choice.diagnosis}'."
        )
    if choice.ids:
        return cases.filter(pl.col("case_id").is_in(choice.ids))
    if choice.diagnosis is not None:
        cases = cases.filter(pl.col("diagnosis") == choice.diagnosis)
    if choice.errors:
        cases = _worst_errors(cases, choice.errors, model, datamodule, part)
    if cases.is_empty():
        raise UsageError(f"No case is left to explain ({choice.words()}).")
    if not choice.errors and cases.height > choice.sample:
        cases = cases.sample(choice.sample, seed=choice.seed)
    return cases


def _worst_errors(
    cases: pl.DataFrame,
    count: int,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
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
