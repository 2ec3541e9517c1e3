"""A trainer that can write predictions to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from vitatt.callbacks.predictions import PredictionWriter
from vitatt.files import check_writable


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
        check_writable(path)  # before the work, not after it
        writer = PredictionWriter(path)
        self.callbacks.append(writer)
        try:
            super().predict(model, dataloaders, datamodule, False, ckpt_path)
        finally:
            self.callbacks.remove(writer)
