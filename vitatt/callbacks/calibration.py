"""Calibration of a model's probabilities on the validation split."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import ArrayLike

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
            assert isinstance(pl_module, LesionClassifier)
            pl_module.network.head.temperature.fill_(1.0)

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
            calibrate(pl_module, probabilities, targets)


def calibrate(model: LesionClassifier, probabilities: ArrayLike, targets: ArrayLike) -> None:
    """Set the temperature of a model.

    Args:
        model: The model.
        probabilities: Its own at temperature 1, of cases that it was not trained on, (N, C).
        targets: Class of each of these cases, (N,).

    Raises:
        ValueError: If there is no case, or lengths differ.
    """
    temperature = fit_temperature(probabilities, targets)
    model.network.head.temperature.fill_(1.0 if temperature in BOUNDS else temperature)
