from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch

from vitatt.callbacks.best_weights import BestWeights
from vitatt.types import UsageError


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)


def after(metrics: list[float]) -> float:
    """The weight that stays of a training whose weight is its number of validation runs."""
    module, callback = Module(), BestWeights("val/selection")
    for number, metric in enumerate(metrics, start=1):
        with torch.no_grad():
            module.layer.weight.fill_(number)
        trainer: Any = SimpleNamespace(callback_metrics={"val/selection": torch.tensor(metric)})
        callback.on_validation_end(trainer, module)
    with torch.no_grad():
        module.layer.weight.fill_(99)
    callback.on_fit_end(trainer if metrics else None, module)  # type: ignore[arg-type]
    return module.layer.weight.item()


@pytest.mark.parametrize(
    ("metrics", "weight"),
    [
        ([0.1, 0.9, 0.5], 2),
        ([0.5, 0.5], 1),
        ([float("nan"), 0.5, 0.9], 3),
        ([0.5, float("nan")], 1),
        ([float("nan"), float("nan")], 1),
        ([], 99),
    ],
)
def test_the_best_weights_stay(metrics: list[float], weight: float) -> None:
    assert after(metrics) == weight


def test_a_metric_that_is_not_logged_is_named() -> None:
    trainer: Any = SimpleNamespace(callback_metrics={"val/loss": torch.tensor(1.0)})
    with pytest.raises(UsageError, match="to log 'val/selection', but it logged val/loss"):
        BestWeights("val/selection").on_validation_end(trainer, Module())
