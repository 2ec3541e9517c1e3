"""Cases as arrays, and the runtimes that take them: PyTorch or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vitatt.types import LesionTask, UsageError


class CaseArrays(NamedTuple):
    """Cases as one network reads them.

    Attributes:
        pixels: RGB, (B, 3, V H, W) uint8, the V views of a case one below the other.
        metadata: Soft one-hot vectors, (B, sum of K_f) float32.
        missing: True where a feature was not observed, (B, F) bool.
        absent: True where a case lacks a view, (B, V) bool; None if a case is one image.
        names: Of the cases.
    """

    pixels: NDArray[np.uint8]
    metadata: NDArray[np.float32]
    missing: NDArray[np.bool_]
    absent: NDArray[np.bool_] | None = None
    names: Sequence[str] = ()


class HasTask(Protocol):
    """A model, of a checkpoint or exported, with its place and its task."""

    @property
    def path(self) -> object:
        """File or folder, for messages."""
        ...

    @property
    def task(self) -> LesionTask:
        """What it was trained for."""
        ...


def check_alike(models: Sequence[HasTask]) -> None:
    """Check that the probabilities of models can be averaged.

    Raises:
        UsageError: If there is no model, or they are of different datasets, classes or views.
    """
    if not models:
        raise UsageError("Expected at least one checkpoint, but got none.")
    first = models[0]
    for model in models[1:]:
        for what in ("dataset", "classes", "views"):
            expected, found = getattr(first.task, what), getattr(model.task, what)
            if found != expected:
                raise UsageError(
                    "Expected models of one dataset with the same classes and views, but the "
                    f"{what} of {first.path}: {_words(expected)}; of {model.path}: {_words(found)}."
                )


def _words(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"
