"""Types shared by all parts of the package: errors, the task, a batch, a model's output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # exported models run without PyTorch
    from torch import Tensor


class UsageError(ValueError):
    """An error that the user can correct; the message says what is wrong, where, and what to do."""


class DataError(UsageError):
    """Input data that cannot be used; the message says what is wrong, where, and what to do."""


FeatureKind = Literal["categorical", "numeric"]

CALIBRATION_BINS = 15
"""Bins of confidence in the calibration error, as in Guo et al. 2017."""


class PositiveClass(NamedTuple):
    """The class that is most harmful to miss; of two classes the positive one.

    Attributes:
        name: As in `LesionTask.classes`.
        title: Name for people, which stands in the names of its metrics.
    """

    name: str
    title: str


def class_index(classes: Sequence[str]) -> dict[str, int]:
    """Index of each class by its name, in the order of the logits."""
    return {name: index for index, name in enumerate(classes)}


@dataclasses.dataclass(frozen=True)
class FeatureEncoding:
    """Encoding of one metadata feature, fitted on training rows.

    Attributes:
        name: Column name, as published.
        label: Name for figures and tables.
        kind: ``categorical`` or ``numeric``.
        unit: Unit of a numeric feature, else empty.
        categories: Categories of the training rows, sorted; empty for a numeric feature.
        centres: Bin centres, increasing, at quantiles of the training values; empty for a
            categorical feature.
    """

    name: str
    label: str
    kind: FeatureKind
    unit: str = ""
    categories: tuple[str, ...] = ()
    centres: tuple[float, ...] = ()

    @property
    def cardinality(self) -> int:
        """Number of categories or bins, K_f."""
        return len(self.categories) if self.kind == "categorical" else len(self.centres)


@dataclasses.dataclass(frozen=True)
class FoldSpec:
    """Which outer fold of how many, shuffled with which seed, and which inner fold of it.

    The outer fold is the test split. The groups outside of it are divided into `inner_folds` parts:
    number `inner_fold` is the validation split, the others are the training split.
    """

    fold: int
    num_folds: int
    seed: int
    inner_folds: int = 5
    inner_fold: int = 0


@dataclasses.dataclass(frozen=True)
class LesionTask:
    """Everything a model needs to know about its data; checkpoints store it.

    Attributes:
        dataset: Name of the `DatasetSpec`.
        classes: Class names, in the order of the logits.
        class_counts: Training cases per class, same order.
        features: Fitted encodings, in the order of the metadata tokens.
        smoothing: Probability mass that a soft one-hot vector shares among the other categories.
        image_size: Side of the square input image, in pixels.
        fold_spec: The fold that the training rows came from.
        seen: Digest of the cases and groups of the training and validation split.
        description: What describes the dataset, as JSON; empty if it is a registered one.
        positive: The positive one of two classes; empty if there are more, or it is not known.
        views: Names of the images of a case, such as close-up and dermoscopic; empty if a case is
            one image.
    """

    dataset: str
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    features: tuple[FeatureEncoding, ...]
    smoothing: float
    image_size: int
    fold_spec: FoldSpec
    seen: str = ""
    description: str = ""
    positive: str = ""
    views: tuple[str, ...] = ()

    @property
    def num_views(self) -> int:
        """Images of a case, V."""
        return max(1, len(self.views))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of categories or bins of each feature, K_f."""
        return tuple(feature.cardinality for feature in self.features)

    def to_plain(self) -> dict[str, Any]:
        """Return the task as dicts, lists and scalars, which YAML and safe checkpoints can hold."""
        plain: dict[str, Any] = _untupled(dataclasses.asdict(self))
        # A command line would read a text that is YAML as what it holds.
        plain["description"] = json.loads(self.description) if self.description else {}
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> LesionTask:
        """Return the task that `to_plain` was called on.

        Checkpoints from before 0.1.0, in which ``fold_spec`` is named ``split``, are read as well.

        Raises:
            UsageError: If keys are missing or unknown, because another version wrote them.
        """
        if "split" in plain and "fold_spec" not in plain:
            plain = {("fold_spec" if key == "split" else key): plain[key] for key in plain}
        try:
            features = tuple(
                FeatureEncoding(
                    **{
                        **feature,
                        "categories": tuple(feature["categories"]),
                        "centres": tuple(feature["centres"]),
                    }
                )
                for feature in plain["features"]
            )
            return cls(
                **{
                    **plain,
                    "classes": tuple(plain["classes"]),
                    "class_counts": tuple(plain["class_counts"]),
                    "features": features,
                    "fold_spec": FoldSpec(**plain["fold_spec"]),
                    "description": _as_json(plain.get("description")),
                    "views": tuple(plain.get("views", ())),
                }
            )
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"Expected a task with the keys {[f.name for f in dataclasses.fields(cls)]}, but "
                f"reading it failed with {error!r}. The checkpoint was written by another version "
                "of vitatt: train again, or use the version that wrote it."
            ) from error


def _as_json(description: object) -> str:
    return json.dumps(description) if description else ""


class Pixels(NamedTuple):
    """Images as pixels.

    Attributes:
        values: RGB, 0 to 255, (B, 3, H, W); uint8 as loaded. The V views of a case lie one below
            the other, (B, 3, V H, W).
        absent: True where a case lacks a view, (B, V) bool; None if a case is one image.
    """

    values: Tensor
    absent: Tensor | None = None


class Tokens(NamedTuple):
    """Images as tokens, computed beforehand by the encoder's lower blocks.

    Attributes:
        values: (B, N, D); float16 as cached. Those of the V views of a case follow one another,
            (B, V N, D).
        absent: True where a case lacks a view, (B, V) bool; None if a case is one image.
    """

    values: Tensor
    absent: Tensor | None = None


def split_views(values: Tensor, views: int) -> Tensor:
    """Return pixels (B, 3, V H, W) as (B V, 3, H, W), the views of a case next to each other."""
    return values.unflatten(2, (views, -1)).transpose(1, 2).flatten(0, 1)


def stack_views(values: Tensor, views: int) -> Tensor:
    """Return pixels (B V, 3, H, W) as (B, 3, V H, W), the inverse of `split_views`."""
    return values.unflatten(0, (-1, views)).transpose(1, 2).flatten(2, 3)


class LesionBatch(NamedTuple):
    """A batch of cases.

    Attributes:
        image: `Pixels`, or `Tokens` if these were computed beforehand.
        metadata: Soft one-hot vectors of all features, concatenated, (B, sum of K_f) float32.
        missing: True where a feature was not observed, (B, F) bool.
        target: Class index (B,) int64; -1 where the diagnosis is unknown.
        case_id: Published name of each case.
    """

    image: Pixels | Tokens
    metadata: Tensor
    missing: Tensor
    target: Tensor
    case_id: Sequence[str]

    @property
    def pixels(self) -> Tensor:
        """The images, RGB, 0 to 255, see `Pixels`.

        Raises:
            ValueError: If the batch holds tokens.
        """
        if not isinstance(self.image, Pixels):
            raise ValueError(
                "Expected a batch of pixels (B, 3, H, W), but it holds tokens of shape "
                f"{tuple(self.image.values.shape)}."
            )
        return self.image.values

    def with_pixels(self, pixels: Tensor) -> LesionBatch:
        """Return the batch with other images of the same shape and the same absent views."""
        return self._replace(image=Pixels(pixels, self.image.absent))

    def with_tokens(self, tokens: Tensor) -> LesionBatch:
        """Return the batch with tokens in place of its images, see `Tokens`."""
        return self._replace(image=Tokens(tokens, self.image.absent))

    def to(self, device: Any) -> LesionBatch:
        """Return the batch on a device."""
        absent = None if self.image.absent is None else self.image.absent.to(device)
        return self._replace(
            image=self.image._replace(values=self.image.values.to(device), absent=absent),
            metadata=self.metadata.to(device),
            missing=self.missing.to(device),
            target=self.target.to(device),
        )

    def cases(self, rows: slice | list[int]) -> LesionBatch:
        """Return a batch of some of the cases."""
        absent = None if self.image.absent is None else self.image.absent[rows]
        image = self.image._replace(values=self.image.values[rows], absent=absent)
        metadata, missing, target = (part[rows] for part in self[1:4])
        names = self.case_id[rows] if isinstance(rows, slice) else [self.case_id[n] for n in rows]
        return LesionBatch(image, metadata, missing, target, names)


class LesionOutput(NamedTuple):
    """Output of every network of this package.

    Attributes:
        logits: (B, C).
        embedding: Input of the last linear layer, (B, E).
        paths: Logits of each of several paths whose mean the logits are, (B, paths, C); None if
            there is one path. In training, each has to classify by itself.
    """

    logits: Tensor
    embedding: Tensor
    paths: Tensor | None = None


def _untupled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untupled(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_untupled(item) for item in value]
    return value
