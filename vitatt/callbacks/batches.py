"""The data of a trainer, for callbacks that run batches of it themselves."""

from __future__ import annotations

import lightning
from lightning.fabric.utilities import move_data_to_device

from vitatt.data.datamodule import LesionDataModule
from vitatt.types import LesionBatch


def datamodule_of(trainer: lightning.Trainer) -> LesionDataModule:
    """The data that a trainer runs on."""
    datamodule = trainer.datamodule
    assert isinstance(datamodule, LesionDataModule)
    return datamodule


def ready(
    batch: LesionBatch, trainer: lightning.Trainer, module: lightning.LightningModule
) -> LesionBatch:
    """The batch as Lightning hands it to a step: in the trainer's precision, on its device."""
    converted = trainer.precision_plugin.convert_input(batch)
    moved: LesionBatch = move_data_to_device(converted, module.device)
    return moved
