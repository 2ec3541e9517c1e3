"""The confusion matrix as a picture, for training, validation and test."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.drawing import drawing
from vitatt.callbacks.image_logging import log_images, shows_images
from vitatt.explain.confusion_picture import confusion_picture
from vitatt.models.classifier import LesionClassifier


class ConfusionPicture(Callback):
    """Logs ``train/confusion``, ``val/confusion`` and ``test/confusion`` to W&B and TensorBoard."""

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Picture of the epoch's training predictions."""
        _log(trainer, pl_module, "train")

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Picture of the validation predictions."""
        _log(trainer, pl_module, "val")

    def on_test_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Picture of the test predictions."""
        _log(trainer, pl_module, "test")


def _log(trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
    assert isinstance(module, LesionClassifier)
    if trainer.sanity_checking or not shows_images(trainer):
        return
    metrics = module.metrics_of(stage)
    with metrics.sync_context():  # the cases of all processes
        matrix = metrics.confusion().cpu().numpy()
    if trainer.is_global_zero and matrix.sum() > 0:
        with drawing(f"the confusion matrix of {stage}"):
            picture = confusion_picture(matrix, module.task.classes)
            log_images(trainer, {f"{stage}/confusion": [picture]})
