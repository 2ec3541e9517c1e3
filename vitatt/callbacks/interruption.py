"""Ctrl-C and SIGTERM end a training at the next step, with a checkpoint to go on from."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from vitatt.callbacks.tracking import run_folder

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SaveOnInterrupt(Callback):
    """Finishes the step, saves ``checkpoints/interrupted.ckpt`` and exits with 128 + signal.

    A training that goes on from there ends with the same weights as one that was never
    interrupted. A signal during validation waits for its end, because half a validation gives
    wrong figures. A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Listen; after Lightning's own handlers are in place."""
        del trainer, pl_module
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save and leave, if asked to."""
        del pl_module, outputs, batch, batch_idx
        if self._received is None:
            return
        path = run_folder(trainer) / "checkpoints" / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        rank_zero_info(
            f"Interrupted after step {trainer.global_step}. To go on: the same command with "
            f"--ckpt_path {path}"
        )
        raise SystemExit(128 + self._received)

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Stop listening."""
        del trainer, pl_module, stage
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._received is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._received = signal.Signals(number)
        rank_zero_info(
            f"\nReceived {self._received.name}: saving a checkpoint after this step (a second one "
            "ends at once)."
        )
