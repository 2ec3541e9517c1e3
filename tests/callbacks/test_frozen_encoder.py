from __future__ import annotations

from typing import Any

import lightning
import pytest

from tests.tasks import make_task
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.models.classifier import LesionClassifier
from vitatt.types import UsageError


def test_tokens_of_a_divided_network_are_refused() -> None:
    model = LesionClassifier(make_task().to_plain(), encoder="test_vit", freeze_encoder=True)
    mesh: Any = object()
    model._device_mesh = mesh
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(
        UsageError, match=r"cannot train on cached tokens: set `token_cache\.augmentations`"
    ):
        TokenCaching(1).on_fit_start(trainer, model)
