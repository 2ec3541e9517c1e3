"""Learning rates, gradient norm and speed, against Lightning's own and by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import polars as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger

from tests.models.test_classifier import batches, make_model
from vitatt.callbacks.optimization import OptimizationRecord
from vitatt.callbacks.throughput import Throughput


class Norms(Callback):
    """Norm of the gradients of each step, by hand in float64."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        squares = [
            p.grad.double().square().sum() for p in pl_module.parameters() if p.grad is not None
        ]
        self.found.append(float(torch.stack(squares).sum().sqrt()))


def recorded(folder: Path, *callbacks: Callback, data: Any = None, **settings: Any) -> pl.DataFrame:
    """What a training of two epochs of four steps logs, row by row."""
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=CSVLogger(str(folder), name="", version="csv"),
        callbacks=list(callbacks),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )
    model = make_model(learning_rate=1e-3, encoder_learning_rate=1e-4, layer_decay=0.5)
    trainer.fit(model, data or batches(4), batches(1))
    return pl.read_csv(folder / "csv" / "metrics.csv", infer_schema_length=None)


def column(frame: pl.DataFrame, name: str) -> list[float]:
    return frame[name].drop_nulls().cast(pl.Float64).to_list()


@pytest.mark.parametrize("clip", [None, 0.1])
def test_rates_are_lightnings_and_norms_those_before_clipping(
    tmp_path: Path, clip: float | None
) -> None:
    norms = Norms()
    frame = recorded(
        tmp_path, LearningRateMonitor(), OptimizationRecord(), norms, gradient_clip_val=clip
    )
    # The group of the encoder's last block has its whole rate; the last group is of new parts.
    groups = [name for name in frame.columns if name.startswith("lr-Adam/pg")]
    rates = {name: column(frame, name) for name in groups}
    assert len(groups) > 4
    highest = [max(step) for step in zip(*rates.values(), strict=True)]
    assert column(frame, "optimizer/learning_rate") == pytest.approx(highest)
    encoder = column(frame, "optimizer/encoder_learning_rate")
    assert encoder == pytest.approx([rate / 10 for rate in highest])
    assert any(one == pytest.approx(encoder) for one in rates.values())
    assert len(norms.found) == 8
    assert column(frame, "optimizer/gradient_norm") == pytest.approx(norms.found, rel=1e-5)


class Slow:
    """Batches that take a tenth of a second each to come."""

    def __init__(self) -> None:
        self._batches = list(batches(4))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Any:
        for batch in self._batches:
            time.sleep(0.1)
            yield batch


class SlowStep(Callback):
    """A fifth of a second in each step, and in validation."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        time.sleep(0.2)

    def on_validation_batch_start(self, *arguments: Any, **more: Any) -> None:
        time.sleep(0.5)


def test_waiting_for_data_and_validation_are_apart_from_the_steps(tmp_path: Path) -> None:
    frame = recorded(tmp_path, SlowStep(), Throughput(), data=Slow())
    data, step = column(frame, "speed/data_seconds"), column(frame, "speed/step_seconds")
    validation, speed = (
        column(frame, "speed/validation_seconds"),
        column(frame, "speed/cases_per_second"),
    )
    assert len(data) == len(step) == len(speed) == 8
    assert len(validation) == 2
    assert min(step) >= 0.2
    assert sum(data) >= 0.8
    assert sum(data) < 1.6, "nothing of steps or validation"
    assert min(validation) >= 0.5
    size = len(next(iter(batches(1))).target)
    for cases, waited, worked in zip(speed, data, step, strict=True):
        assert cases == pytest.approx(size / (waited + worked))
