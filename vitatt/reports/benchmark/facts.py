"""The protocol of a benchmark or of a test run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vitatt.types import PositiveClass, UsageError


@dataclasses.dataclass(frozen=True)
class Facts:
    """The protocol of a benchmark, or of one test run.

    Attributes:
        dataset: Short name of the dataset.
        title: Full name of the dataset.
        classes: Class names, in the order of the logits.
        class_titles: Full names of the classes.
        group: Unit that is never in two splits: ``patient`` or ``lesion``.
        features: Metadata columns that decide whether a case is complete.
        cases: Cases that were predicted.
        groups: Groups of these.
        class_counts: Cases of each class.
        num_folds: Outer folds.
        inner_folds: The inner validation split is one of this many parts of the training groups.
        seeds: Of the models of each fold; empty for a test run, which does not record it.
        encoder: Name of the image encoder; None for a model without images.
        frozen: Whether the encoder was not trained.
        image_size: Side of the input image, in pixels.
        reference: The arm that others are compared with.
        arms: ``title`` and ``source`` of each arm, by name.
        command: The command that made the predictions.
        positive: The class that is most harmful to miss; None if the dataset names none.
        rows: Rows of the published table; None where not counted.
        absent: Rows left out because their image is absent.
        unreadable: Rows left out because their image cannot be read.
        checks: ``check``, ``outcome`` and ``ok`` of each leak looked for.
        feature_labels: Full names of metadata columns.
        question: Question that the comparison is to answer.
        fold: The only outer fold that was predicted; None if all were.
    """

    dataset: str
    title: str
    classes: tuple[str, ...]
    class_titles: Mapping[str, str]
    group: str
    features: tuple[str, ...]
    cases: int
    groups: int
    class_counts: Mapping[str, int]
    num_folds: int
    inner_folds: int
    seeds: tuple[int, ...]
    encoder: str | None
    frozen: bool
    image_size: int
    reference: str
    arms: Mapping[str, Mapping[str, str]]
    command: str
    positive: str | None = None
    rows: int | None = None
    absent: int = 0
    unreadable: int = 0
    checks: tuple[Mapping[str, Any], ...] = ()
    feature_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    question: str = ""
    fold: int | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], place: str) -> Facts:
        """Facts from ``protocol.json``; keys that the report does not show are ignored.

        Args:
            plain: The file's content.
            place: The file, for the error.

        Raises:
            UsageError: If a key is absent, or holds another kind of value.
        """
        if "melanoma" in plain:  # the name of `positive` at first
            plain = {"positive": plain["melanoma"], **plain}
        fields = dataclasses.fields(cls)
        missing = dataclasses.MISSING
        required = [
            field.name
            for field in fields
            if field.default is missing and field.default_factory is missing
        ]
        if lacking := [name for name in required if name not in plain]:
            raise UsageError(
                f"Expected {place} to hold `{lacking[0]}`, but it does not: it was written by "
                "another version of vitatt. Run the same `vitatt benchmark` again: what is "
                "finished is kept, the protocol is written anew."
            )
        for field in fields:
            if field.name in plain and (found := _wrong(plain[field.name], str(field.type))):
                raise UsageError(
                    f"Expected `{field.name}` in {place} to be {found}, but got "
                    f"{plain[field.name]!r}: the file was changed."
                )
        for name, arm in plain["arms"].items():
            if not isinstance(arm, dict) or {"title", "source"} - arm.keys():
                raise UsageError(
                    f"Expected `arms` in {place} to give a `title` and a `source` for '{name}', "
                    f"but got {arm!r}: the file was changed."
                )
        known: dict[str, Any] = {
            field.name: tuple(value) if isinstance(value, list) else value
            for field in fields
            if (value := plain.get(field.name, missing)) is not missing
        }
        return cls(**known)

    @property
    def one_model(self) -> bool:
        """Whether the report is of one test run, not of a benchmark."""
        return self.fold is not None

    @property
    def positive_class(self) -> PositiveClass | None:
        """`positive` with its title."""
        if self.positive is None:
            return None
        return PositiveClass(self.positive, self.class_titles.get(self.positive, self.positive))

    @property
    def binary(self) -> bool:
        """Whether the metrics are of the positive one of two classes."""
        return len(self.classes) == 2 and self.positive is not None

    @property
    def compared(self) -> bool:
        """Whether there are arms to compare."""
        return len(self.arms) > 1

    def arm_title(self, arm: str) -> str:
        """Full name of an arm."""
        return self.arms[arm]["title"] if arm in self.arms else arm


_KINDS: dict[str, tuple[type, str]] = {
    "tuple": (list, "a list"),
    "Mapping": (dict, "values by name"),
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
}
"""Type of a field's value in JSON, and its name in messages, by the beginning of its annotation."""


def _wrong(value: object, kind: str) -> str:
    """Name of the type that a value should have; empty if it has it."""
    expected, words = _KINDS[kind.split("[")[0].split(" ")[0]]
    if value is None and kind.endswith("| None"):
        return ""
    is_kind = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    items = kind.partition("[")[2].split(",")[0].rstrip("]")
    if is_kind and isinstance(value, list) and items in ("str", "int"):
        wrong = [item for item in value if _wrong(item, items)]
        return f"{words} of {'texts' if items == 'str' else 'whole numbers'}" if wrong else ""
    return "" if is_kind else words
