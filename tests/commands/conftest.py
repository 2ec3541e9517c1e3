"""A small demo dataset and short trainings on it, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch  # noqa: F401  its log handler must not be bound to one test's stream
import pytest

from vitatt.cli import main
from vitatt.data.synthetic.demo import write_demo

Run = Callable[..., Path]


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    write_demo(folder, num_cases=60, image_size=32)
    return folder


@pytest.fixture
def demo_copy(demo_root, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(demo_root, tmp_path / "copy"))


@pytest.fixture(scope="session")
def options(tmp_path_factory, demo_root) -> list[str]:
    """A model and a training small enough for a test."""
    cache = tmp_path_factory.mktemp("cache")
    return [
        "--data.dataset=pad_ufes_20",
        f"--data.root={demo_root}",
        f"--data.cache_dir={cache}",
        "--data.image_size=32",
        "--data.batch_size=8",
        "--data.num_workers=0",
        "--model.encoder=test_vit",
        "--model.learning_rate=0.001",
        "--model.encoder_learning_rate=0.001",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs land in the test's folder, and W&B knows no login."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, options) -> Path:
    """The run folder of a two-epoch training."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        status = main(["fit", *options, "--trainer.max_epochs=2", "--explanations.size=4"])
    assert status == 0
    (run,) = (folder / "runs" / "vitatt").iterdir()
    return run
