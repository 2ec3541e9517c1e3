"""The temperature that a training fits on its validation split."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from scipy.optimize import minimize_scalar

from tests.tasks import make_task
from vitatt.callbacks.calibration import Calibration
from vitatt.models.classifier import LesionClassifier

TASK = make_task()


def calibrated(logits: torch.Tensor, targets: torch.Tensor, fn: TrainerFn) -> float:
    """The temperature after a validation run with these logits."""
    module = LesionClassifier(TASK.to_plain(), encoder="test_vit")
    module.network.head.temperature.fill_(3.0)
    trainer: Any = SimpleNamespace(state=SimpleNamespace(fn=fn), sanity_checking=False)
    callback = Calibration()
    callback.on_validation_start(trainer, module)
    if fn == TrainerFn.FITTING:
        assert float(module.network.head.temperature) == 1
    module.metrics_of("val").update(logits.softmax(-1), targets)
    callback.on_validation_epoch_end(trainer, module)
    return float(module.network.head.temperature)


def test_the_most_likely_temperature() -> None:
    torch.manual_seed(0)
    classes = len(TASK.classes)
    targets = torch.randint(0, classes, (300,))
    logits = 5 * (torch.nn.functional.one_hot(targets, classes) + torch.randn(300, classes))
    found = calibrated(logits, targets, TrainerFn.FITTING)

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() / temperature, targets))

    best = minimize_scalar(loss, bounds=(0.1, 50), method="bounded", options={"xatol": 1e-7})
    assert found > 2
    np.testing.assert_allclose(found, best.x, rtol=1e-4)


@pytest.mark.parametrize("wrong", [0, 1], ids=["all right", "all wrong"])
def test_without_a_most_likely_temperature_it_is_1(wrong: int) -> None:
    classes = len(TASK.classes)
    targets = torch.arange(classes)
    logits = 4.0 * torch.eye(classes).roll(wrong, 0)
    assert calibrated(logits, targets, TrainerFn.FITTING) == 1


def test_validation_by_itself_changes_nothing() -> None:
    classes = len(TASK.classes)
    logits, targets = torch.randn(50, classes), torch.randint(0, classes, (50,))
    assert calibrated(logits, targets, TrainerFn.VALIDATING) == 3
