"""Signals that end a training at the next step, with a checkpoint to resume from."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from vitatt.callbacks.requeue import requeue
from vitatt.callbacks.run_folder import run_folder

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has the first two
    if hasattr(signal, name)
)
INTERRUPTED = "interrupted.ckpt"


class SaveOnInterrupt(Callback):
    """Finish the step, save ``checkpoints/interrupted.ckpt`` and exit with 128 + signal.

    Ctrl-C, SIGTERM (`kill`, a scheduler), SIGHUP (a lost terminal) and SIGUSR1 (a time limit that
    comes near) do so. After SIGUSR1 under SLURM, the job is put into the queue again, and goes on
    from there. A signal that was ignored when the command started stays ignored, as `nohup` wants.

    A training that goes on ends with the same weights as one that was never interrupted. So the
    last step of an epoch is followed by its validation first, a step that only accumulates
    gradients by the ones that complete it, and several processes leave together. A second signal
    ends the process at once.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._process = os.getpid()
        self._stepped = False

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Install the handlers before tokens are computed."""
        del trainer, pl_module
        self._listen()

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Install the handlers again: Lightning has replaced them by its own."""
        del trainer, pl_module
        self._listen()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save and exit if a signal has come."""
        del pl_module, outputs, batch
        self._stepped = True
        asked = self._received is not None
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        accumulating = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
        if not asked or trainer.is_last_batch or accumulating:
            return
        path = run_folder(trainer) / "checkpoints" / INTERRUPTED
        trainer.save_checkpoint(path, weights_only=False)
        rank_zero_info(
            f"Interrupted after step {trainer.global_step}. To go on: the same command with "
            f"--ckpt_path {path}"
        )
        if self._received == getattr(signal, "SIGUSR1", None) and trainer.is_global_zero:
            requeue(run_folder(trainer).parent, path.resolve())
        raise SystemExit(128 + (self._received or signal.SIGTERM))

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Restore the handlers."""
        del trainer, pl_module, stage
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Restore the handlers: Lightning calls no `teardown` then."""
        del exception
        self.teardown(trainer, pl_module, "fit")

    def _listen(self) -> None:
        self._process = os.getpid()
        for number in SIGNALS:
            if number not in self._previous:
                previous = signal.getsignal(number)
                if previous is signal.SIG_IGN:
                    continue
                self._previous[number] = previous
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if os.getpid() != self._process:
            return  # a process that was forked from this one, which ends it
        if self._received is not None or not self._stepped:
            # Asked twice, or there is nothing to save yet.
            raise SystemExit(128 + number)
        self._received = signal.Signals(number)
