"""Attention and TMME maps of a fixed panel of cases, on every validation run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import polars as pl
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from vitatt.callbacks.batches import datamodule_of, ready
from vitatt.callbacks.best_effort import best_effort
from vitatt.callbacks.image_logging import log_images
from vitatt.callbacks.run_folder import run_folder
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.methods import predict
from vitatt.files import write_image
from vitatt.models.classifier import LesionClassifier
from vitatt.models.sharding import whole
from vitatt.plotting.case import case_figure
from vitatt.plotting.heatmap import map_figure
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import LesionBatch

Figures = dict[str, list[NDArray[np.uint8]]]


class ExplanationPanel(Callback):
    """Draw the same validation cases after every validation run, to W&B and as JPEG files.

    Three lists of figures: ``maps/attention`` and ``maps/tmme`` (the image beside its map), and
    ``maps/cases`` (image, attention, TMME for predicted and true class, and the relevance of each
    metadata feature with the patient's own values).

    A failure to draw is reported once and never stops the training.

    Args:
        size: Cases in the panel, spread over the classes.
    """

    ranges: ClassVar[Ranges] = {"size": Range(least=0)}

    def __init__(self, size: int = 16) -> None:
        check_ranges(self.ranges, locals(), "explanations")
        self.size = size
        self._panel: tuple[LesionBatch, pl.DataFrame] | None = None
        self._predicted: list[tuple[list[str], Tensor]] = []

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
        """Explain and draw the panel, in the first process."""
        predicted = self._predicted
        self._predicted = []
        assert isinstance(pl_module, LesionClassifier)
        if self.size == 0 or trainer.sanity_checking:
            return
        with whole(pl_module.network), best_effort("the maps of the validation panel"):
            if not trainer.is_global_zero:
                return
            classes = {
                case_id: number
                for case_ids, numbers in predicted
                for case_id, number in zip(case_ids, numbers.tolist(), strict=True)
            }
            self._draw(trainer, pl_module, classes)

    def _draw(
        self, trainer: lightning.Trainer, module: LesionClassifier, known: dict[str, int]
    ) -> None:
        datamodule = datamodule_of(trainer)
        if not module.network.layouts:
            return  # a network without attention has no maps
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
            cases = explain_cases(module.network, on_device, predicted, datamodule.task, values)
        figures: Figures = {"attention": [], "tmme": [], "cases": _same_height(cases)}
        for case in cases:
            title = f"{case.case_id}\ntrue {case.true_class}, predicted {case.predicted_class}"
            title += f" ({case.probability:.2f})"
            attention_map, tmme_map = list(case.maps.values())[:2]
            figures["attention"].append(
                map_figure(case.image, attention_map, title, case.num_views)
            )
            figures["tmme"].append(map_figure(case.image, tmme_map, title, case.num_views))
        folder = run_folder(trainer) / "maps" / f"step-{trainer.global_step:06d}"
        paths = _save(folder, figures, [case.figure_name for case in cases])
        log_images(trainer, {f"maps/{name}": files for name, files in paths.items()})


def _same_height(cases: list[ExplainedCase]) -> list[NDArray[np.uint8]]:
    """Figures of the cases, white below the shorter ones: W&B shows a list at one size."""
    figures = [case_figure(case) for case in cases]
    height = max(len(figure) for figure in figures)
    return [
        np.pad(figure, ((0, height - len(figure)), (0, 0), (0, 0)), constant_values=255)
        for figure in figures
    ]


def _save(folder: Path, figures: Figures, titles: list[str]) -> dict[str, list[Path]]:
    """Write the figures; their paths by list."""
    paths: dict[str, list[Path]] = {}
    for name in figures:
        (folder / name).mkdir(parents=True, exist_ok=True)
        paths[name] = [folder / name / f"{title}.jpg" for title in titles]
    with ThreadPoolExecutor() as pool:
        for name, files in paths.items():
            list(pool.map(_save_one, figures[name], files))
    return paths


def _save_one(image: NDArray[np.uint8], path: Path) -> None:
    # Six times faster than PNG; colours at full resolution.
    write_image(image, path, quality=95, subsampling=0)
