"""Data module and batches of a trainer, for callbacks that run the network themselves."""

from __future__ import annotations

import lightning
from lightning.fabric.utilities import move_data_to_device

from vitatt.data.datamodule import LesionDataModule
from vitatt.types import LesionBatch


def datamodule_of(trainer: lightning.Trainer) -> LesionDataModule:
    """The data module of a trainer."""
    datamodule = trainer.datamodule
    assert isinstance(datamodule, LesionDataModule)
    return datamodule


def ready(
    batch: LesionBatch, trainer: lightning.Trainer, module: lightning.LightningModule
) -> LesionBatch:
    """The batch in the trainer's precision and on its device, as Lightning gives it to a step."""
    converted = trainer.precision_plugin.convert_input(batch)
    moved: LesionBatch = move_data_to_device(converted, module.device)
    return moved
