"""What the parts of the house hand to one another: the task, a batch, the model's output."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor


class UsageError(ValueError):
    """Something the user can put right; the message says what, where and how."""


class DataError(UsageError):
    """Input data that cannot be used as it is; the message says what, where and what to do."""


FeatureKind = Literal["categorical", "numeric"]


@dataclasses.dataclass(frozen=True)
class FeatureEncoding:
    """One metadata feature as fitted on training rows.

    Attributes:
        name: Column name, as published.
        label: Name for figures and tables.
        kind: ``categorical`` or ``numeric``.
        unit: Unit of a numeric feature, else empty.
        categories: Categories seen in the training rows, sorted; empty for a numeric feature.
        centres: Increasing bin centres at training quantiles; empty for a categorical feature.
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
    """Which outer fold, of how many, shuffled with which seed; and which inner fold of it.

    The inner validation split is one of `inner_folds` parts of the training groups.
    """

    fold: int
    num_folds: int
    seed: int
    inner_folds: int = 5
    inner_fold: int = 0


@dataclasses.dataclass(frozen=True)
class LesionTask:
    """What a model must know about its data, and a checkpoint must carry.

    Attributes:
        dataset: Name of the `DatasetSpec`.
        classes: Class names, in the order of the logits.
        class_counts: Training cases per class, same order.
        features: Fitted encodings, in the order of the metadata tokens.
        smoothing: Probability mass that a soft one-hot vector shares among the other categories.
        image_size: Side of the square input image, in pixels.
        fold_spec: The fold that the training rows came from.
        seen: Digest of the cases and groups that training and validation saw.
    """

    dataset: str
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    features: tuple[FeatureEncoding, ...]
    smoothing: float
    image_size: int
    fold_spec: FoldSpec
    seen: str = ""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """K_f of each feature."""
        return tuple(feature.cardinality for feature in self.features)

    def to_plain(self) -> dict[str, Any]:
        """The task as dicts, lists and scalars, as YAML and safe checkpoints can hold it."""
        plain: dict[str, Any] = _untupled(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> LesionTask:
        """The inverse of `to_plain`.

        Before 0.1.0 ``fold_spec`` was named ``split``; checkpoints from then are read too.

        Raises:
            UsageError: If keys are missing or unknown: the file was written by another version.
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
                }
            )
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"Expected a task with the keys {[f.name for f in dataclasses.fields(cls)]}, but "
                f"reading it failed with {error!r}. The checkpoint was written by another version "
                "of vitatt: train again, or use the version that wrote it."
            ) from error


class Pixels(NamedTuple):
    """Images as pixels.

    Attributes:
        values: RGB, 0 to 255, (B, 3, H, W); uint8 as loaded.
    """

    values: Tensor


class Tokens(NamedTuple):
    """Images as tokens that the encoder's lower blocks computed before.

    Attributes:
        values: (B, N, D); float16 as cached.
    """

    values: Tensor


class LesionBatch(NamedTuple):
    """A batch of cases.

    Attributes:
        image: `Pixels`, or `Tokens` if they were computed before.
        metadata: Soft one-hot vectors of all features side by side, (B, sum of K_f) float32.
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
        """The images, (B, 3, H, W), RGB, 0 to 255.

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
        """The batch with other images, (B, 3, H, W)."""
        return self._replace(image=Pixels(pixels))

    def with_tokens(self, tokens: Tensor) -> LesionBatch:
        """The batch with tokens (B, N, D) in place of its images."""
        return self._replace(image=Tokens(tokens))

    def cases(self, rows: slice | list[int]) -> LesionBatch:
        """Some of the cases."""
        image = self.image._replace(values=self.image.values[rows])
        metadata, missing, target = (part[rows] for part in self[1:4])
        names = self.case_id[rows] if isinstance(rows, slice) else [self.case_id[n] for n in rows]
        return LesionBatch(image, metadata, missing, target, names)


class LesionOutput(NamedTuple):
    """What every network of this package returns.

    Attributes:
        logits: (B, C).
        embedding: The vector that the last linear layer saw, (B, E).
    """

    logits: Tensor
    embedding: Tensor


def _untupled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _untupled(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_untupled(item) for item in value]
    return value
