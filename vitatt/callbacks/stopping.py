"""Early stopping on a metric whose direction is known."""

from __future__ import annotations

from typing import ClassVar

from lightning.pytorch.callbacks import EarlyStopping

from vitatt.models.metrics import SELECTION, direction
from vitatt.ranges import Range, Ranges, check_ranges


class StopEarly(EarlyStopping):
    """End a training that no longer improves, see Lightning's `EarlyStopping`.

    Args:
        monitor: The metric of a validation run that decides. Whether higher or lower is better
            follows from the metric.
        patience: Validation runs without improvement before the training ends.
        min_delta: Smaller changes of the metric are no improvement.

    Raises:
        UsageError: If a number is out of its range.
    """

    ranges: ClassVar[Ranges] = {"patience": Range(least=0), "min_delta": Range(least=0)}

    def __init__(self, monitor: str = SELECTION, patience: int = 10, min_delta: float = 0) -> None:
        check_ranges(self.ranges, locals(), "early_stopping")
        super().__init__(
            monitor,
            patience=patience,
            min_delta=min_delta,
            mode=direction(monitor),
            strict=False,  # the name was checked; a training may have no validation
        )
