"""The confusion matrix as a figure, for training, validation and test."""

from __future__ import annotations

from contextlib import nullcontext

import lightning
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.best_effort import best_effort
from vitatt.callbacks.image_logging import log_images, shows_images
from vitatt.models.classifier import LesionClassifier
from vitatt.plotting.confusion import confusion_figure


class ConfusionMatrixFigure(Callback):
    """Log ``train/confusion``, ``val/confusion`` and ``test/confusion`` to W&B and TensorBoard."""

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Figure of the epoch's training predictions."""
        _log(trainer, pl_module, "train")

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Figure of the validation predictions."""
        _log(trainer, pl_module, "val")

    def on_test_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Figure of the test predictions."""
        _log(trainer, pl_module, "test")


def _log(trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
    assert isinstance(module, LesionClassifier)
    if trainer.sanity_checking or not shows_images(trainer):
        return
    metrics = module.metrics_of(stage)
    with metrics.sync_context():  # the cases of all processes
        matrix = metrics.confusion().cpu().numpy()
    if trainer.is_global_zero and matrix.sum() > 0:
        # A test measures, so that its failures are errors; a training goes on without figures.
        guard = (
            nullcontext() if stage == "test" else best_effort(f"the confusion matrix of {stage}")
        )
        with guard:
            figure = confusion_figure(matrix, module.task.classes)
            log_images(trainer, {f"{stage}/confusion": [figure]})
