"""What training costs beyond its arithmetic, and what a frozen encoder's cached tokens save."""

from __future__ import annotations

import copy
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from lightning.pytorch.callbacks import Callback

from tests.performance.conftest import Record
from tests.performance.timing import median_ratio
from tests.performance.trainer import module_of, trainer_of
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionBatch

pytestmark = pytest.mark.bench
STEPS = {"vit_tiny_patch16_224": 10, "vit_small_patch14_dinov2": 4}
"""Of an epoch; a real one has more, and so less of its start."""
GPU = torch.cuda.is_available()


class BareLoop(Callback):
    """After each epoch of the trainer, as many steps of a bare loop on tensors in memory."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"trainer": [], "bare": []}
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch: LesionBatch = batch

    def on_train_epoch_end(self, trainer: Any, pl_module: LesionClassifier) -> None:
        _synchronise()
        self.seconds["trainer"].append(time.perf_counter() - self._start)
        twin = copy.deepcopy(pl_module.network).train()
        optimizer = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad], lr=1e-5)
        start = time.perf_counter()
        for _ in range(trainer.num_training_batches):
            with trainer.precision_plugin.forward_context():
                loss = pl_module.loss(twin(self._batch).logits.float(), self._batch.target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _synchronise()
        self.seconds["bare"].append(time.perf_counter() - start)

    @property
    def share(self) -> float:
        """Speed of the trainer as a share of the bare loop's."""
        return median_ratio(self.seconds["bare"], self.seconds["trainer"])


def _synchronise() -> None:
    if GPU:
        torch.cuda.synchronize()


@pytest.mark.parametrize("encoder", STEPS)
def test_trainer_over_a_bare_loop(encoder: str, tmp_path: Path, record: Record) -> None:
    size, steps = 64 if GPU else 16, STEPS[encoder]
    data = module_of(tmp_path, cases=size * steps * 3, batch_size=size)
    model = LesionClassifier(data.task.to_plain(), encoder=encoder)
    bare = BareLoop()
    limits = {"limit_train_batches": steps, "limit_val_batches": 0}
    trainer = trainer_of(tmp_path, 8, bare, enable_progress_bar=False, **limits)
    trainer.fit(model, data)
    record(
        f"Training through Trainer and data module over a bare loop, {encoder}",
        bare.share,
        least=0.97,
    )


class EpochSeconds(Callback):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        _synchronise()
        self.seconds.append(time.perf_counter() - self._start)


def test_an_epoch_on_cached_tokens(tmp_path: Path, record: Record) -> None:
    cases = 825 * 25 // 16  # so that 825 are for training, as many as PAD-UFES-20 has here
    data = module_of(tmp_path, cases=cases, batch_size=32)
    seconds = {}
    for views, epochs in ((0, 1), (1, 4)):
        model = LesionClassifier(
            data.task.to_plain(), encoder="vit_small_patch14_dinov2", freeze_encoder=True
        )
        clock = EpochSeconds()
        callbacks = (clock, TokenCaching(views))
        trainer = trainer_of(
            tmp_path, epochs, *callbacks, limit_val_batches=0, enable_progress_bar=False
        )
        trainer.fit(model, data)
        wandb.finish()
        seconds[views] = statistics.median(clock.seconds[-3:])
    gain = seconds[0] / seconds[1]
    title = "An epoch of 825 cases with a frozen ViT-S/14 over one on cached tokens"
    record(title, gain, least=20)
