"""Speed of a training, and the time that it waits for data."""

from __future__ import annotations

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.loggers import log_metrics
from vitatt.types import LesionBatch


class Throughput(Callback):
    """Log the speed of a training every `trainer.log_every_n_steps` batches.

    - ``speed/cases_per_second``: training cases of this process, validation not counted;
    - ``speed/step_seconds``: forward and backward pass and optimizer of a batch;
    - ``speed/data_seconds``: waiting for the next batch. Where it is not far below the step, more
      workers (``data.num_workers``) or a cache (``data.cache_dir``) make the training faster;
    - ``speed/validation_seconds``: a whole validation run, with its maps.

    Means over the batches since they were logged before. A GPU works on while the next batch is
    fetched, so that only their sum is exact there.
    """

    def __init__(self) -> None:
        self._mark = 0.0
        self._validation = 0.0
        self._forget()

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to wait for the first batch."""
        del trainer, pl_module
        self._mark = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """End the waiting for a batch."""
        del trainer, pl_module, batch, batch_idx
        self._data += self._lap()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: LesionBatch,
        batch_idx: int,
    ) -> None:
        """Count a batch, and log."""
        del pl_module, outputs
        self._step += self._lap()
        self._cases += len(batch.target)
        self._batches += 1
        if (batch_idx + 1) % trainer.log_every_n_steps == 0 or trainer.is_last_batch:
            log_metrics(
                trainer,
                {
                    "speed/cases_per_second": self._cases / (self._data + self._step),
                    "speed/step_seconds": self._step / self._batches,
                    "speed/data_seconds": self._data / self._batches,
                },
            )
            self._forget()
            self._lap()

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin to measure a validation run."""
        del trainer, pl_module
        self._validation = time.perf_counter()

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Log the time of a validation run, and leave it out of the next batch's."""
        del pl_module
        if not trainer.sanity_checking:
            seconds = time.perf_counter() - self._validation
            log_metrics(trainer, {"speed/validation_seconds": seconds})
        self._lap()

    def _forget(self) -> None:
        self._data = self._step = 0.0
        self._cases = self._batches = 0

    def _lap(self) -> float:
        """Seconds since the last call."""
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before
