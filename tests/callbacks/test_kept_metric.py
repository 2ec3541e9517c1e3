from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vitatt.callbacks.kept_metric import KeptMetric
from vitatt.types import UsageError

NAN = float("nan")


def after(monitor: str | None, losses: list[float], metrics: list[float]) -> KeptMetric:
    callback = KeptMetric("val/selection", monitor)
    for epoch, (loss, metric) in enumerate(zip(losses, metrics, strict=True)):
        logged = {"val/loss": torch.tensor(loss), "val/selection": torch.tensor(metric)}
        trainer: Any = SimpleNamespace(callback_metrics=logged, current_epoch=epoch)
        callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
    return callback


@pytest.mark.parametrize(
    ("monitor", "losses", "metrics", "epoch"),
    [
        ("val/selection", [3, 2, 1], [0.25, 0.75, 0.5], 1),
        ("val/selection", [3, 2, 1], [0.5, 0.5, 0.25], 0),
        ("val/selection", [3, 2, 1], [NAN, 0.25, 0.5], 2),
        ("val/loss", [3, 1, 2], [0.75, 0.25, 0.5], 1),
        (None, [1, 2, 3], [0.75, 0.5, 0.25], 2),
    ],
)
def test_the_metric_of_the_kept_weights(
    monitor: str | None, losses: list[float], metrics: list[float], epoch: int
) -> None:
    kept = after(monitor, losses, metrics)
    assert (kept.epoch, kept.value) == (epoch, metrics[epoch])


def test_without_a_validation_run_and_without_the_metric() -> None:
    assert math.isnan(after(None, [], []).value)
    trainer: Any = SimpleNamespace(callback_metrics={"val/loss": torch.tensor(1.0)})
    with pytest.raises(UsageError, match="to log 'val/selection', but it logged val/loss"):
        KeptMetric("val/selection", None).on_validation_end(trainer, None)  # type: ignore[arg-type]
