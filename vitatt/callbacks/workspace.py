"""Order in W&B: best and last of each metric in the summary, and few panels by themselves."""

from __future__ import annotations

from collections.abc import Iterable

import lightning
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.tracking import run_logger
from vitatt.models.classifier import LesionClassifier
from vitatt.models.metrics import direction, validation_metrics

STEP = "trainer/global_step"
"""What W&B draws metrics over."""

_HIDDEN = ("epoch", STEP, "train_by_class/*")


class Workspace(Callback):
    """Tell W&B which metrics matter.

    The summary of a training, and so the table of runs, has the best and the last value of each
    metric of validation, such as ``val/auroc.max`` and ``val/auroc.last``. Counters, bounds of
    intervals and the training metrics of single classes are recorded, but get no panel unless one
    is made by hand.
    """

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Define the metrics before the first is logged."""
        logger = run_logger(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, LesionClassifier)
        hide(trainer, _HIDDEN)
        if stage == "fit":
            for name in validation_metrics(pl_module.task):
                summary = f"{direction(name)},last"
                logger.experiment.define_metric(
                    name, step_metric=STEP, step_sync=True, summary=summary
                )


def hide(trainer: lightning.Trainer, metrics: Iterable[str]) -> None:
    """Let W&B make no panel of some metrics; before they are logged.

    Args:
        trainer: Has the logger.
        metrics: Their names.
    """
    if (logger := run_logger(trainer)) is not None:
        for name in metrics:
            logger.experiment.define_metric(name, hidden=True)
