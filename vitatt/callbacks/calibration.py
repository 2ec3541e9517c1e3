"""Calibration of a model's probabilities on the validation split."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn

from vitatt.evaluation.calibration import BOUNDS, fit_temperature
from vitatt.models.classifier import LesionClassifier


class Calibration(Callback):
    """Fit the temperature of the logits after each validation run of a training.

    Validation itself, and so the choice of the best epoch, is at temperature 1. Checkpoints hold
    the temperature, so that predictions from them are calibrated. Where the likelihood has no
    maximum, as where all few cases are right, it stays 1.
    """

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Set the temperature to 1."""
        if trainer.state.fn == TrainerFn.FITTING:
            _set_temperature(pl_module, 1.0)

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Fit the temperature on the validation cases of all processes."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        assert isinstance(pl_module, LesionClassifier)
        metrics = pl_module.metrics_of("val")
        with metrics.sync_context():
            probabilities, targets = (part.cpu().numpy() for part in metrics.labelled())
        if len(targets):
            temperature = fit_temperature(probabilities, targets)
            _set_temperature(pl_module, 1.0 if temperature in BOUNDS else temperature)


def _set_temperature(module: lightning.LightningModule, value: float) -> None:
    assert isinstance(module, LesionClassifier)
    module.network.head.temperature.fill_(value)
