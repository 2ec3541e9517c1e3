"""One training of a network inside a benchmark, and its predictions."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning
import numpy as np
import polars as pl
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from vitatt.callbacks.batches import ready
from vitatt.callbacks.best_weights import BestWeights
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.callbacks.predictions import prediction_frame
from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.models.classifier import LesionClassifier
from vitatt.models.layers.map_pool import mean_patch
from vitatt.training import TrainingCLI


class ParsedTraining(TrainingCLI):
    """The checked configuration of a training, without model, data and trainer."""

    def __init__(self, options: Sequence[str]) -> None:
        super().__init__(options, run=False, callbacks=[])

    def instantiate_classes(self) -> None:
        """Do nothing: only `config` is needed."""

    def plain(self) -> dict[str, Any]:
        """The configuration as dicts, lists and scalars."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return config


class NetworkTraining:
    """Model, data and trainer of one training.

    Args:
        options: Options of `vitatt fit`.
        last: End with the last weights, not with those of the validation run that is best by
            `checkpoint.monitor`.
        callbacks: Callbacks beside those that the options configure.
    """

    def __init__(
        self, options: Sequence[str], *, last: bool = False, callbacks: Sequence[Callback] = ()
    ) -> None:
        with quiet():
            made = TrainingCLI(options, run=False, callbacks=callbacks)
        monitor = made.config.checkpoint.monitor
        if not last and monitor is not None:
            made.trainer.callbacks.append(BestWeights(monitor))
        self.trainer: lightning.Trainer = made.trainer
        assert isinstance(made.model, LesionClassifier)
        assert isinstance(made.datamodule, LesionDataModule)
        self.model = made.model
        self.datamodule = made.datamodule
        # Lightning sets these when the trainer runs; tokens are computed before.
        self.datamodule.trainer = self.trainer
        self.trainer.datamodule = self.datamodule
        self._caching = next(c for c in self.trainer.callbacks if isinstance(c, TokenCaching))

    def fit(self) -> None:
        """Train."""
        with quiet():
            self.trainer.fit(self.model, datamodule=self.datamodule)

    def prepare(self) -> None:
        """Compute the tokens of every image before the first training."""
        if self._caches:
            self._caching.prepare(self.trainer, self.model)

    @torch.inference_mode()
    def predict(self, split: SplitName) -> pl.DataFrame:
        """Predictions of a split, one row for each case."""
        if self._caches:
            self._caching.serve(self.trainer, self.model, (split,))
        self.model.eval()
        batches = []
        for batch in self.datamodule.dataset_of(split).batches(self.datamodule.batch_size):
            with self.trainer.precision_plugin.forward_context():
                logits = self.model(ready(batch, self.trainer, self.model)).logits
            batches.append((list(batch.case_id), logits.float().softmax(-1).cpu()))
        return prediction_frame(self.datamodule, split, batches)

    @torch.inference_mode()
    def image_features(self, split: SplitName) -> NDArray[np.float64]:
        """Features of plain images before any training, for classical models.

        They are the class token and the mean patch token of the encoder, side by side.

        Returns:
            (N, 2 D), or (N, 0) if the network has no image input.
        """
        cases, encoder = self.datamodule.cases(split), self.model.network.encoder
        if encoder is None:
            return np.zeros((cases.height, 0))
        plain = self.datamodule.make_dataset(split, cases)
        if self._caches:
            plain.source = self._caching.plain_tokens(self.trainer, self.model, cases)
        self.model.eval()
        features = []
        for batch in plain.batches(self.datamodule.batch_size):
            with self.trainer.precision_plugin.forward_context():
                image = ready(batch, self.trainer, self.model).image
                tokens = encoder(image).float()
            mean = mean_patch(tokens[:, encoder.num_prefix :], encoder.absent_patches(image))
            features.append(torch.cat([tokens[:, :1], mean], dim=2).flatten(1).cpu())
        return torch.cat(features).double().numpy()

    @property
    def _caches(self) -> bool:
        return self._caching.augmentations > 0 and self.model.network.encoder is not None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the messages of Lightning and W&B about each of hundreds of trainings."""
    silent = os.environ.get("WANDB_SILENT")
    os.environ["WANDB_SILENT"] = "true"
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Lightning warns of options that come from Python instead of the shell.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter")
            yield
    finally:
        if silent is None:
            del os.environ["WANDB_SILENT"]
        else:
            os.environ["WANDB_SILENT"] = silent
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
