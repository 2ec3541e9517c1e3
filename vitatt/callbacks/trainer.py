"""A trainer that can write predictions to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning

from vitatt.callbacks.predictions import PredictionWriter
from vitatt.types import UsageError


class LesionTrainer(lightning.Trainer):
    """Lightning's trainer; the command line gets its options from these methods."""

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
        path = Path(output)
        try:  # before the work, not after it
            path.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(path.parent, os.W_OK) and not path.is_dir()
        except OSError:
            writable = False
        if not writable:
            raise UsageError(f"Expected --output to be a file that can be written, but got {path}.")
        writer = PredictionWriter(path)
        self.callbacks.append(writer)
        try:
            super().predict(model, dataloaders, datamodule, False, ckpt_path)
        finally:
            self.callbacks.remove(writer)
