"""Answers about a patient: published values by column, checked, in one spelling, and encoded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from vitatt.data.datasets import recorded_dataset
from vitatt.data.datasets.schema import Feature
from vitatt.data.datasets.spellings import UNKNOWN
from vitatt.data.metadata.encoding import EncodedMetadata, Value, encode_rows
from vitatt.types import LesionTask, UsageError
from vitatt.words import did_you_mean

Answers = Mapping[str, object]
"""Values by column: text, a number, a truth value, or None where unknown."""


class AnswerReader:
    """Reads answers by the rules for a dataset's files, and encodes them for trained networks.

    Args:
        tasks: Of the networks, all of one dataset; categories that they have seen are known, beside
            the published ones.

    Attributes:
        spec: The dataset.

    Raises:
        UsageError: If the dataset is not registered.
    """

    def __init__(self, tasks: Sequence[LesionTask]) -> None:
        first = tasks[0]
        dataset = recorded_dataset(first.dataset, first.description, "the task of a checkpoint")
        self.spec = dataset.spec
        self._tasks = tasks
        self._features = {feature.name: feature for feature in self.spec.features}
        self._others = {*self.spec.barred, self.spec.group_column, self.spec.id_column}
        seen: dict[str, list[str]] = {}
        for encoding in (feature for task in tasks for feature in task.features):
            seen.setdefault(encoding.name, []).extend(encoding.categories)
        self._categories = {
            feature.name: {
                **{_compared(name): name for name in seen.get(feature.name, ())},
                **{_compared(name): name for name in feature.categories},
                **feature.spellings,
            }
            for feature in self.spec.features
        }

    def read(self, answers: Answers | None, of: str = "the answers") -> dict[str, Value]:
        """Return a value for each feature of the dataset; None where nothing is known.

        Args:
            answers: Published values by column, in any spelling that the dataset's files may have;
                other columns of the dataset, such as ids, are left aside.
            of: Where they come from, for error messages.

        Raises:
            UsageError: If the dataset has no such column, a value is no number or none of the
                categories of its column, or a number is not plausible.
        """
        answers = {} if answers is None else answers
        if not isinstance(answers, Mapping):
            raise UsageError(
                f"Expected {of} to be values by column, but got a {type(answers).__name__}."
            )
        for name in answers:
            if name not in self._features and name not in self._others:
                raise UsageError(self._unknown_column(str(name), of))
        return {
            name: self._value(feature, answers.get(name), of)
            for name, feature in self._features.items()
        }

    def encode(self, rows: Sequence[Mapping[str, Value]]) -> list[EncodedMetadata]:
        """Return the metadata of cases as each network knows them.

        Args:
            rows: Values of each case, see `read`.
        """
        return [encode_rows(rows, task.features, smoothing=task.smoothing) for task in self._tasks]

    def _value(self, feature: Feature, answer: object, of: str) -> Value:
        text = _text(answer)
        if text is None:
            raise UsageError(
                f"Expected '{feature.name}' in {of} to be text, a number, True, False or None, but "
                f"got a {type(answer).__name__}."
            )
        compared = _compared(text)
        if compared in UNKNOWN:
            return None
        if feature.kind == "numeric":
            return _number(feature, text, of)
        category = re.sub(r"^(\d+)\.0+$", r"\1", compared)  # 2.0 is 2
        known = self._categories[feature.name]
        if category in known:
            return known[category]
        if not feature.categories:
            return category
        names = list(dict.fromkeys(known.values()))
        raise UsageError(
            f"Expected '{feature.name}' in {of} to be a category of {self.spec.title}, but got "
            f"'{text}'.{did_you_mean(category, names)} It has: {', '.join(names)}. Leave it out if "
            "it is unknown."
        )

    def _unknown_column(self, name: str, of: str) -> str:
        columns = list(self._features)
        labels = {feature.label: feature.name for feature in self.spec.features}
        close = did_you_mean(labels.get(name, name), columns)
        return (
            f"{self.spec.title} has no column '{name}', which is in {of}.{close} It has: "
            f"{', '.join(columns)}."
        )


def _text(answer: object) -> str | None:
    """An answer as a file would have it; None for what no file can have."""
    if answer is None:
        return ""
    if isinstance(answer, str):
        return answer.strip()
    return str(answer) if isinstance(answer, Real | np.bool_) else None


def _compared(text: str) -> str:
    """Text in the form that is compared, see `vitatt.data.datasets.spellings.compared`."""
    return re.sub(r"[\s_]+", " ", text.upper()).strip()


def _number(feature: Feature, text: str, of: str) -> float:
    unit = f" in {feature.unit}" if feature.unit else ""
    # A decimal comma; "1,234" may have thousands, and is refused.
    point = text.replace(",", ".") if re.fullmatch(r"[+-]?(\d+,\d{1,2}|0,\d+)", text) else text
    try:
        number = float(point)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise UsageError(
            f"Expected '{feature.name}' in {of} to be a number{unit}, but got '{text}'."
        )
    if feature.plausible is not None and number not in feature.plausible:
        wanted = f"{feature.plausible} {feature.unit}".strip()
        raise UsageError(
            f"Expected '{feature.name}' in {of} to be {wanted}, but got "
            f"{text}. Correct it, or leave it out if it is unknown."
        )
    return number
