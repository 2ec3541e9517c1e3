"""The best weights of a training, kept in memory."""

from __future__ import annotations

import math

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vitatt.models.metrics import direction
from vitatt.types import UsageError


class BestWeights(Callback):
    """End a training with the weights of its best validation run, without writing a checkpoint.

    For many short trainings, which writing checkpoints would slow down. Frozen weights are not
    copied.

    Args:
        monitor: The metric that decides. Whether higher or lower is better follows from it.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.best = float("-inf")
        self._sign = -1 if direction(monitor) == "min" else 1
        self._weights: dict[str, Tensor] = {}

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Copy the weights if they are the best so far.

        Raises:
            UsageError: If the metric is not logged.
        """
        value = self._sign * logged_value(trainer, self.monitor)
        if math.isnan(value):  # undefined, as where the validation split has one class
            value = float("-inf")
        if not self._weights or value > self.best:
            self.best = value
            self._weights = {
                name: tensor.detach().clone() for name, tensor in _changing(pl_module).items()
            }

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the best weights; without any validation run, the last ones stay."""
        del trainer
        if not self._weights:
            return
        with torch.no_grad():
            for name, tensor in _changing(pl_module).items():
                tensor.copy_(self._weights[name])


def logged_value(trainer: lightning.Trainer, metric: str) -> float:
    """A metric of the validation run that has just ended.

    Raises:
        UsageError: If it is not logged.
    """
    if metric not in trainer.callback_metrics:
        raise UsageError(
            f"Expected a validation run to log '{metric}', but it logged "
            f"{', '.join(sorted(trainer.callback_metrics))}."
        )
    return float(trainer.callback_metrics[metric])


def _changing(module: lightning.LightningModule) -> dict[str, Tensor]:
    """Trainable parameters and all buffers, which batch normalisation changes."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    return parameters | dict(module.named_buffers())
