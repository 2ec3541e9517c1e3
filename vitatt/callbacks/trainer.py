"""A trainer whose files are whole, and that can write predictions to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins.io import TorchCheckpointIO

from vitatt.callbacks.checkpoint_file import WholeCheckpointIO
from vitatt.callbacks.identity import new_identity
from vitatt.callbacks.predictions import PredictionWriter


class LesionTrainer(lightning.Trainer):
    """Lightning's trainer; the command line gets its options from these methods.

    Attributes:
        identity: A name that no other run has; all processes have the first one's once they run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity = new_identity()
        if type(self.strategy.checkpoint_io) is TorchCheckpointIO:  # not one that a user chose
            self.strategy.checkpoint_io = WholeCheckpointIO()

    def predict(
        self,
        model: lightning.LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: lightning.LightningDataModule | None = None,
        ckpt_path: str | None = None,
        *,
        output: str,
    ) -> None:
        """Predict every case of ``data.predict_root``.

        Args:
            model: The model, see `lightning.Trainer.predict`.
            dataloaders: Instead of a data module.
            datamodule: The data.
            ckpt_path: Checkpoint with the weights.
            output: CSV file to write: the id of each case and a probability for each class.
        """
        writer = PredictionWriter(Path(output).expanduser())
        self.callbacks.append(writer)
        try:
            super().predict(model, dataloaders, datamodule, False, ckpt_path)
        finally:
            self.callbacks.remove(writer)
