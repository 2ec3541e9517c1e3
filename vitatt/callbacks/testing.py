"""Results of a test: metrics of the outer fold, all its predictions, and a table in W&B."""

from __future__ import annotations

import lightning
import numpy as np
import wandb
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from vitatt.callbacks.batches import datamodule_of
from vitatt.callbacks.predictions import prediction_frame
from vitatt.callbacks.processes import gather
from vitatt.callbacks.run_folder import run_folder
from vitatt.callbacks.tracking import run_logger
from vitatt.evaluation.summary import summarise
from vitatt.explain.explain_cases import shown_pixels
from vitatt.explain.methods import explain
from vitatt.files import write_frame
from vitatt.models.classifier import LesionClassifier, StepOutput
from vitatt.plotting.heatmap import heatmap
from vitatt.types import LesionBatch


class TestReport(Callback):
    """After a test: metrics with intervals, all predictions on file, and a table in W&B."""

    __test__ = False  # no test case, whatever pytest thinks of its name

    def __init__(self) -> None:
        self._batches: list[tuple[list[str], Tensor]] = []
        self._maps: list[tuple[list[str], list[NDArray[np.uint8]]]] = []

    def on_test_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Drop the predictions of an earlier test."""
        self._batches, self._maps = [], []

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: StepOutput,
        batch: LesionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions, and the TMME map of each predicted class."""
        del batch_idx, dataloader_idx
        assert isinstance(pl_module, LesionClassifier)
        probabilities = outputs["probabilities"]
        self._batches.append((outputs["case_id"], probabilities.cpu()))
        if run_logger(trainer) is None or not pl_module.network.layouts:
            return
        with trainer.precision_plugin.forward_context():
            relevance = explain(pl_module.network, batch, probabilities.argmax(1, keepdim=True))
            maps = relevance.patches[:, 0].cpu().numpy()
            views = pl_module.task.num_views
            figures = [
                heatmap(shown_pixels(batch, place), one, views=views)
                for place, one in enumerate(maps)
            ]
            self._maps.append((outputs["case_id"], figures))

    def on_test_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write ``predictions.parquet`` and the table, and print the metrics.

        Before the metrics of explanations, whose failure is an error but costs no predictions.
        """
        assert isinstance(pl_module, LesionClassifier)
        predictions, maps = gather(self._batches), gather(self._maps)
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
        if (logger := run_logger(trainer)) is None:
            return
        logger.log_metrics(summary.metrics())
        figures = {
            case_id: wandb.Image(figure)
            for case_ids, batch in maps
            for case_id, figure in zip(case_ids, batch, strict=True)
        }
        table = wandb.Table(columns=[*frame.columns, "tmme"])
        for row in frame.iter_rows(named=True):
            table.add_data(*row.values(), figures.get(row["case_id"]))
        logger.log_metrics({"test/cases": table})
