"""Attention and TMME maps of a fixed panel of cases, on every validation run."""

from __future__ import annotations

import math
from pathlib import Path

import lightning
import numpy as np
import polars as pl
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from PIL import Image

from vitatt.callbacks.drawing import drawing
from vitatt.callbacks.tracking import run_folder, run_logger
from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.case_picture import case_picture
from vitatt.explain.explained_case import ExplainedCase
from vitatt.explain.methods import explain
from vitatt.explain.relevance import Relevance
from vitatt.explain.render import map_picture
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionBatch, UsageError

Pictures = dict[str, list[NDArray[np.uint8]]]


class ExplanationPanel(Callback):
    """Draws the same validation cases after every validation run, to W&B and as PNG files.

    Three lists of pictures: ``maps/attention`` and ``maps/tmme`` (the image beside its map), and
    ``maps/cases`` (image, attention, TMME for predicted and true class, and the relevance of each
    metadata feature with the patient's own values).

    A failure to draw is reported once and never stops the training.

    Args:
        size: Cases in the panel, spread over the classes.
    """

    def __init__(self, size: int = 16) -> None:
        if size < 0:
            raise UsageError(f"Expected `explanations.size` to be at least 0, but got {size}.")
        self.size = size
        self._panel: tuple[LesionBatch, pl.DataFrame] | None = None

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Explain and draw the panel, in the first process."""
        if self.size == 0 or trainer.sanity_checking or not trainer.is_global_zero:
            return
        with drawing("the maps of the validation panel"):
            self._draw(trainer, pl_module)

    def _draw(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, LesionClassifier)
        datamodule = trainer.datamodule
        assert isinstance(datamodule, LesionDataModule)
        if not module.network.layouts:
            return  # a network without attention has no maps
        if self._panel is None:
            self._panel = datamodule.panel("val", self.size)
        batch, rows = self._panel
        on_device = move_data_to_device(batch, module.device)
        with trainer.precision_plugin.forward_context():
            true = on_device.target
            attention = explain(module.network, on_device, true[:, None], method="attention")
            target = torch.stack([attention.logits.argmax(1), true], dim=1)
            tmme = explain(module.network, on_device, target)
        cases = [
            _panel_case(datamodule, batch, number, row, tmme, attention)
            for number, row in enumerate(rows.iter_rows(named=True))
        ]
        pictures: Pictures = {"attention": [], "tmme": [], "cases": _same_height(cases)}
        for case in cases:
            title = f"{case.case_id}\ntrue {case.true_class}, predicted {case.predicted_class}"
            title += f" ({case.probability:.2f})"
            attention_map, tmme_map = list(case.maps.values())[:2]
            pictures["attention"].append(map_picture(case.image, attention_map, title))
            pictures["tmme"].append(map_picture(case.image, tmme_map, title))
        folder = run_folder(trainer) / "maps" / f"step-{trainer.global_step:06d}"
        _save(folder, pictures, [case.case_id for case in cases])
        if (logger := run_logger(trainer)) is not None:
            for name, images in pictures.items():
                logger.log_image(f"maps/{name}", images)


def _panel_case(
    datamodule: LesionDataModule,
    batch: LesionBatch,
    number: int,
    row: dict[str, object],
    tmme: Relevance,
    attention: Relevance,
) -> ExplainedCase:
    classes = datamodule.task.classes
    probabilities = tmme.logits[number].float().softmax(-1)
    predicted, true = int(probabilities.argmax()), int(batch.target[number])
    maps = {
        "attention": attention.patches[number, 0].cpu().numpy(),
        f"TMME: predicted {classes[predicted]}": tmme.patches[number, 0].cpu().numpy(),
    }
    features = {f"predicted {classes[predicted]}": tmme.features[number, 0].cpu().numpy()}
    if true != predicted:
        maps[f"TMME: true {classes[true]}"] = tmme.patches[number, 1].cpu().numpy()
        features[f"true {classes[true]}"] = tmme.features[number, 1].cpu().numpy()
    labels = [feature.label for feature in datamodule.task.features]
    recorded = zip(datamodule.describe(row), batch.missing[number], strict=True)
    values: list[str | None] = [None if missing else value for value, missing in recorded]
    count = tmme.features.shape[-1]
    if count != len(labels):  # all features share one token, or the network sees none
        together: str | None = f"{len(labels)} features in one token"
        labels, values = ["all metadata"] * count, [together] * count
    share = float(tmme.image_share[number, 0])
    return ExplainedCase(
        case_id=batch.case_id[number],
        image=batch.image[number].permute(1, 2, 0).numpy(),
        maps=maps,
        probabilities=dict(zip(classes, probabilities.tolist(), strict=True)),
        true_class=classes[true],
        feature_labels=labels,
        feature_values=values,
        feature_relevance=features if count else None,
        image_share=share if count and not math.isnan(share) else None,
    )


def _same_height(cases: list[ExplainedCase]) -> list[NDArray[np.uint8]]:
    """Pictures of the cases, white below the shorter ones: W&B shows a list at one size."""
    pictures = [case_picture(case) for case in cases]
    height = max(len(picture) for picture in pictures)
    return [
        np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255)
        for picture in pictures
    ]


def _save(folder: Path, pictures: Pictures, case_ids: list[str]) -> None:
    for name, images in pictures.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for case_id, image in zip(case_ids, images, strict=True):
            Image.fromarray(image).save(folder / name / f"{Path(case_id).stem}.png")
