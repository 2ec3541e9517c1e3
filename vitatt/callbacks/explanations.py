"""Attention and TMME maps of a fixed panel of cases, on every validation run."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import lightning
import polars as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from vitatt.callbacks.batches import datamodule_of, ready
from vitatt.callbacks.best_effort import best_effort
from vitatt.callbacks.loggers import log_images
from vitatt.callbacks.panel_figures import PanelFigures, draw_panel
from vitatt.callbacks.panel_table import log_panel_table, record_panel
from vitatt.callbacks.run_folder import run_folder
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.methods import predict
from vitatt.models.classifier import LesionClassifier
from vitatt.models.sharding import whole
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import LesionBatch

_WHAT = "the maps of the validation panel"


class ExplanationPanel(Callback):
    """Draw the same validation cases after every validation run, to all loggers and as JPEG files.

    Three lists of figures: ``maps/attention`` and ``maps/tmme`` (the image beside its map), and
    ``maps/cases`` (image, attention, TMME for predicted and true class, and the relevance of each
    metadata feature with the patient's own values). ``panel.csv`` in the run's folder, and at
    the end of the training the table ``maps/panel`` in W&B, have a row for each case and epoch.

    The cases are explained in the validation run; the figures are drawn beside the training that
    goes on, and logged when they are ready, with the step of their validation run. A failure to
    draw is reported once and never stops the training.

    Args:
        size: Cases in the panel, spread over the classes.
    """

    ranges: ClassVar[Ranges] = {"size": Range(least=0)}

    def __init__(self, size: int = 16) -> None:
        check_ranges(self.ranges, locals(), "explanations")
        self.size = size
        self._panel: tuple[LesionBatch, pl.DataFrame] | None = None
        self._predicted: list[tuple[list[str], Tensor]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: Future[PanelFigures] | None = None

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Record the classes that the validation run predicts."""
        del trainer, pl_module, batch, batch_idx, dataloader_idx
        self._predicted.append((outputs["case_id"], outputs["probabilities"].argmax(1)))

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Explain the panel, in the first process, and begin to draw it."""
        predicted = self._predicted
        self._predicted = []
        assert isinstance(pl_module, LesionClassifier)
        if self.size == 0 or trainer.sanity_checking:
            return
        self._log(trainer)
        with whole(pl_module.network), best_effort(_WHAT):
            if not trainer.is_global_zero or not pl_module.network.layouts:
                return  # a network without attention has no maps
            classes = {
                case_id: number
                for case_ids, numbers in predicted
                for case_id, number in zip(case_ids, numbers.tolist(), strict=True)
            }
            cases = self._explain(trainer, pl_module, classes)
            folder = run_folder(trainer) / "maps" / f"step-{trainer.global_step:06d}"
            self._pool = self._pool or ThreadPoolExecutor(1, "maps")
            self._waiting = self._pool.submit(
                draw_panel, cases, folder, trainer.global_step, trainer.current_epoch
            )
        if trainer.state.fn != TrainerFn.FITTING:
            self._log(trainer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log figures that are ready."""
        del pl_module, outputs, batch, batch_idx
        if self._waiting is not None and self._waiting.done():
            self._log(trainer)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Log the last figures, and the table of all."""
        del pl_module
        self._finish(trainer)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Log what was drawn before the training was interrupted or failed."""
        del pl_module, exception
        if trainer.state.fn == TrainerFn.FITTING:
            self._finish(trainer)

    def _explain(
        self, trainer: lightning.Trainer, module: LesionClassifier, known: dict[str, int]
    ) -> list[ExplainedCase]:
        datamodule = datamodule_of(trainer)
        if self._panel is None:
            self._panel = datamodule.panel("val", self.size)
        batch, rows = self._panel
        on_device = ready(batch, trainer, module)
        values = [datamodule.describe(row) for row in rows.iter_rows(named=True)]
        with trainer.precision_plugin.forward_context():
            if set(batch.case_id) <= known.keys():
                predicted = on_device.target.new_tensor([known[name] for name in batch.case_id])
            else:  # with several processes, others predicted some of the panel
                predicted = predict(module.network, on_device)
            return explain_cases(module.network, on_device, predicted, datamodule.task, values)

    def _log(self, trainer: lightning.Trainer) -> None:
        """Wait for the figures of the last validation run, and log them."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        with best_effort(_WHAT):
            drawn = waiting.result()
            lists = {f"maps/{name}": files for name, files in drawn.files.items()}
            log_images(trainer, lists, drawn.step)
            record_panel(drawn, run_folder(trainer))

    def _finish(self, trainer: lightning.Trainer) -> None:
        self._log(trainer)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            with best_effort(_WHAT):
                log_panel_table(trainer, run_folder(trainer))
