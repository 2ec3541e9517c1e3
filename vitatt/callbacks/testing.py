"""Results of a test: metrics of the outer fold, all its predictions, and a table in W&B."""

from __future__ import annotations

from pathlib import Path

import lightning
import polars as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from vitatt.callbacks.batches import datamodule_of
from vitatt.callbacks.loggers import log_metrics
from vitatt.callbacks.predictions import prediction_frame
from vitatt.callbacks.processes import gather
from vitatt.callbacks.run_folder import run_folder
from vitatt.callbacks.tracking import run_logger
from vitatt.callbacks.wandb_tables import log_table
from vitatt.callbacks.workspace import hide
from vitatt.evaluation.summary import Summary, summarise
from vitatt.explain.cases import figure_names
from vitatt.explain.explain_cases import shown_pixels
from vitatt.explain.methods import explain
from vitatt.files import write_frame, write_image
from vitatt.models.classifier import LesionClassifier, StepOutput
from vitatt.plotting.heatmap import heatmap
from vitatt.types import LesionBatch


class TestReport(Callback):
    """After a test: metrics with intervals, all predictions and maps on file, a table in W&B."""

    __test__ = False  # no test case, whatever pytest thinks of its name

    def __init__(self) -> None:
        self._batches: list[tuple[list[str], Tensor]] = []
        self._maps: list[tuple[str, Path]] = []
        self._names: dict[str, str] = {}

    def on_test_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Drop the predictions of an earlier test, and name the files of the cases."""
        del pl_module
        self._batches, self._maps = [], []
        case_ids = datamodule_of(trainer).cases("test")["case_id"].to_list()
        self._names = dict(zip(case_ids, figure_names(case_ids), strict=True))

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: StepOutput,
        batch: LesionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions, and write the TMME map of each predicted class.

        Raises:
            OSError: If a map cannot be written.
        """
        del batch_idx, dataloader_idx
        assert isinstance(pl_module, LesionClassifier)
        probabilities = outputs["probabilities"]
        self._batches.append((outputs["case_id"], probabilities.cpu()))
        if not trainer.loggers or not pl_module.network.layouts:
            return
        with trainer.precision_plugin.forward_context():
            relevance = explain(pl_module.network, batch, probabilities.argmax(1, keepdim=True))
        maps = relevance.patches[:, 0].cpu().numpy()
        views = pl_module.task.num_views
        folder = run_folder(trainer) / "maps" / "test"
        for place, (case_id, one) in enumerate(zip(outputs["case_id"], maps, strict=True)):
            path = folder / f"{self._names[case_id]}.jpg"
            write_image(heatmap(shown_pixels(batch, place), one, views=views), path, quality=92)
            self._maps.append((case_id, path))

    def on_test_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write ``predictions.parquet`` and the table, and print the metrics.

        Before the metrics of explanations, whose failure is an error but costs no predictions.
        """
        assert isinstance(pl_module, LesionClassifier)
        predictions, maps = gather(self._batches), dict(gather(self._maps))
        if not trainer.is_global_zero:
            return
        datamodule = datamodule_of(trainer)
        classes = datamodule.task.classes
        frame = prediction_frame(datamodule, "test", predictions)
        path = run_folder(trainer) / "predictions.parquet"
        write_frame(frame, path)
        summary = summarise(
            frame,
            classes,
            [feature.name for feature in datamodule.task.features],
            positive=datamodule.spec.positive_class,
        )
        fold_spec = datamodule.fold_spec
        rank_zero_info(
            f"Held-out fold {fold_spec.fold} of {fold_spec.num_folds}: {frame.height} cases of "
            f"{frame['group'].n_unique()} {datamodule.spec.group}s; intervals are 95 %, resampling "
            f"{datamodule.spec.group}s.\n"
            + "\n".join(f"  {line}" for line in summary.lines())
            + f"\nPredictions: {path}"
        )
        log_summary(trainer, summary)
        if (logger := run_logger(trainer)) is not None:
            _log_cases(logger, frame, maps, trainer.global_step)


def log_summary(trainer: lightning.Trainer, summary: Summary) -> None:
    """Log metrics with their bounds, of which W&B draws no panels by itself.

    Args:
        trainer: Has the loggers.
        summary: The metrics.
    """
    metrics = summary.metrics()
    hide(trainer, [name for name in metrics if name.endswith(("_low", "_high"))])
    log_metrics(trainer, metrics)


def _log_cases(logger: WandbLogger, frame: pl.DataFrame, maps: dict[str, Path], step: int) -> None:
    images = {"tmme": [maps.get(case_id) for case_id in frame["case_id"]]}
    log_table(logger, "test/cases", frame, images, step=step)
