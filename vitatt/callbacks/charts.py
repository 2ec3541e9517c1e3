"""Confusion matrix and reliability of training, validation and test, as charts."""

from __future__ import annotations

from contextlib import nullcontext

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from vitatt.callbacks.best_effort import best_effort
from vitatt.callbacks.loggers import tensorboards
from vitatt.callbacks.tracking import run_logger
from vitatt.callbacks.wandb_tables import log_confusion, log_curves
from vitatt.evaluation.calibration import ReliabilityCurve, reliability_curve
from vitatt.models.classifier import LesionClassifier
from vitatt.plotting.confusion import confusion_figure
from vitatt.plotting.reliability import reliability_figure


class ClassificationCharts(Callback):
    """Log ``train/confusion``, ``val/confusion``, ``val/reliability`` and the same of a test.

    W&B gets charts of its own, in which it can lay several runs over each other; TensorBoard gets
    figures. During a training, reliability is that of the model before its temperature is fitted.
    """

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Chart of the epoch's training predictions."""
        _log(trainer, pl_module, "train")

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Charts of the validation predictions."""
        _log(trainer, pl_module, "val")

    def on_test_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Charts of the test predictions."""
        _log(trainer, pl_module, "test")


def _log(trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
    assert isinstance(module, LesionClassifier)
    if trainer.sanity_checking or not (run_logger(trainer) or tensorboards(trainer)):
        return
    metrics = module.metrics_of(stage)
    with metrics.sync_context():  # the cases of all processes
        matrix = metrics.confusion().cpu().numpy()
        probabilities, targets = (part.cpu().numpy() for part in metrics.labelled())
    if not trainer.is_global_zero or matrix.sum() == 0:
        return
    curve = None if stage == "train" else reliability_curve(probabilities, targets)
    # A test measures, so that its failures are errors; a training goes on without charts.
    with nullcontext() if stage == "test" else best_effort(f"the charts of {stage}"):
        _draw(trainer, stage, matrix, module.task.classes, curve)


def _draw(
    trainer: lightning.Trainer,
    stage: str,
    matrix: NDArray[np.int64],
    classes: tuple[str, ...],
    curve: ReliabilityCurve | None,
) -> None:
    step = trainer.global_step
    if (logger := run_logger(trainer)) is not None:
        log_confusion(logger, f"{stage}/confusion", matrix, classes, step=step)
        if curve is not None:
            known = ~np.isnan(curve.confidence)
            lines = {
                "model": (curve.confidence[known].tolist(), curve.accuracy[known].tolist()),
                "perfect calibration": ([0.0, 1.0], [0.0, 1.0]),
            }
            log_curves(logger, f"{stage}/reliability", lines, x="confidence", step=step)
    for tensorboard in tensorboards(trainer):
        figures = {"confusion": confusion_figure(matrix, classes)}
        if curve is not None:
            figures["reliability"] = reliability_figure({"model": curve})
        for name, figure in figures.items():
            tensorboard.experiment.add_image(f"{stage}/{name}", figure, step, dataformats="HWC")
