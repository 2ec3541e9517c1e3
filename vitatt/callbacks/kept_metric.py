"""A metric of the validation run whose weights a training keeps."""

from __future__ import annotations

import math

import lightning
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.best_weights import logged_value
from vitatt.models.metrics import direction


class KeptMetric(Callback):
    """Remember a metric of the validation run whose weights `vitatt fit` would keep.

    Args:
        metric: The metric.
        monitor: The metric by which `checkpoint.monitor` keeps weights; None keeps the last ones.

    Attributes:
        value: The metric; NaN before any validation run, or if it is undefined.
        epoch: Epoch of the run, from 0; -1 before any.
    """

    def __init__(self, metric: str, monitor: str | None) -> None:
        self.metric = metric
        self.monitor = monitor
        self.value = math.nan
        self.epoch = -1
        self._best = float("-inf")

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Take over the metric, if the weights of this validation run are to be kept.

        Raises:
            UsageError: If the metric or the monitored one is not logged.
        """
        del pl_module
        value = logged_value(trainer, self.metric)
        if self.monitor is not None:
            sign = -1 if direction(self.monitor) == "min" else 1
            score = sign * logged_value(trainer, self.monitor)
            # As `BestWeights`: the first of equals, and an undefined one only if it is the first.
            if self.epoch >= 0 and not score > self._best:
                return
            self._best = float("-inf") if math.isnan(score) else score
        self.value, self.epoch = value, trainer.current_epoch
