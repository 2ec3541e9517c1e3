"""Small demo data, and checkpoints of models on it that nobody trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo
from vitatt.models.classifier import LesionClassifier

Save = Callable[..., Path]


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    write_demo(folder, num_cases=60, image_size=48)
    return folder


@pytest.fixture(scope="session")
def make_data(demo_root, tmp_path_factory) -> Callable[..., LesionDataModule]:
    """The demo's cases, to train on and to predict."""
    cache = tmp_path_factory.mktemp("cache")

    def make(image_size: int = 32, **settings: Any) -> LesionDataModule:
        root = str(demo_root)
        places = {"root": root, "predict_root": root, "cache_dir": str(cache)}
        return LesionDataModule(
            "pad_ufes_20", image_size=image_size, batch_size=16, **places, **settings
        )

    return make


@pytest.fixture(scope="session")
def data(make_data) -> LesionDataModule:
    return make_data()


@pytest.fixture
def save(tmp_path) -> Save:
    """Save a model as `vitatt fit` does; those of one `encoder_seed` have one encoder."""

    def save(module: LesionDataModule, name: str = "best.ckpt", **settings: Any) -> Path:
        return save_model(tmp_path / name, module, **settings)

    return save


def save_model(
    path: Path, module: LesionDataModule, *, seed: int = 0, encoder_seed: int = 0, **settings: Any
) -> Path:
    model = LesionClassifier(module.task.to_plain(), encoder="test_vit", **settings)
    named = list(model.network.named_parameters())
    make_uneven([one for name, one in named if name.startswith("encoder.")], encoder_seed)
    make_uneven([one for name, one in named if not name.startswith("encoder.")], seed)
    saved = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(saved)
    torch.save(saved, path)
    return path


@torch.no_grad()
def make_uneven(parameters: Iterable[nn.Parameter], seed: int) -> None:
    """Weights with which every input matters, decided by the seed."""
    generator = torch.Generator().manual_seed(seed)
    for weight in parameters:
        scale = 1.5 * weight.shape[-1] ** -0.5 if weight.ndim >= 2 else 0.2
        weight.copy_(torch.randn(weight.shape, generator=generator) * scale + (weight.ndim == 1))
