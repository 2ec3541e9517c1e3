"""Stop a training whose loss is not finite, before its weights are saved."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from vitatt.callbacks.checkpoints import BEST, LAST
from vitatt.callbacks.run_folder import run_folder
from vitatt.types import UsageError


class StopAtDivergence(Callback):
    """Stop at the first loss that is not finite, in training or validation.

    On a CPU every step is looked at. On other devices the first such step is noted there, and read
    as often as Lightning logs and before anything is saved: reading makes the device wait.
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._validation: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Check the loss of the step.

        Raises:
            UsageError: If a loss was not finite.
        """
        del batch
        loss = outputs["loss"].detach()
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.int64, device=loss.device)
        step = 1 + trainer.fit_loop.total_batch_idx // trainer.accumulate_grad_batches
        now = torch.full_like(self._first, step)
        new = (self._first < 0) & ~loss.isfinite().all()
        self._first = torch.where(new, now, self._first)
        often = loss.device.type == "cpu" or (batch_idx + 1) % trainer.log_every_n_steps == 0
        if often or trainer.is_last_batch:
            self.check(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Check the loss of the batch."""
        del trainer, pl_module, batch, batch_idx, dataloader_idx
        finite = outputs["loss"].detach().isfinite().all()
        self._validation = finite if self._validation is None else self._validation & finite

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """See that the validation's losses were finite, before metrics are computed.

        Raises:
            UsageError: If one was not.
        """
        del pl_module
        finite, self._validation = self._validation, None
        ok = finite is None or bool(finite)
        if trainer.strategy.reduce_boolean_decision(ok, all=True):
            return
        raise UsageError(
            f"The validation loss after step {trainer.global_step} (epoch {trainer.current_epoch}) "
            f"is no finite number: the network diverged.{_advice(trainer)}"
        )

    def check(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """See that all training losses so far were finite.

        Raises:
            UsageError: If one was not; the message names its step and the likely cause.
        """
        first = -1 if self._first is None else int(self._first)
        if not trainer.strategy.reduce_boolean_decision(first >= 0, all=False):
            return
        place = f"step {first}" if first >= 0 else "another process"
        raise UsageError(
            f"The training loss of {place} (epoch {trainer.current_epoch}) is no finite "
            f"number: the training diverged. The likely cause is `model.learning_rate` "
            f"({pl_module.hparams['learning_rate']:g}) or `model.encoder_learning_rate` "
            f"({pl_module.hparams['encoder_learning_rate']:g}): lower it, or bound the steps by "
            f"`--trainer.gradient_clip_val 1`.{_advice(trainer)}"
        )


def _advice(trainer: lightning.Trainer) -> str:
    """A sentence on the last checkpoint with finite weights."""
    folder = run_folder(trainer) / "checkpoints"
    kept = [str(folder / name) for name in (BEST, LAST) if (folder / name).is_file()]
    if not kept:
        return " No checkpoint was saved before."
    return f" The weights from before are kept: {', '.join(kept)}."
