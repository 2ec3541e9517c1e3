"""A folder such as the examples of README and docs assume: data, a checkpoint and an image."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning.pytorch  # noqa: F401  its log handler must not be bound to one test's stream
import pytest
from PIL import Image

from tests.docs.blocks import ROOT
from vitatt.cli import main
from vitatt.data.synthetic.demo import write_demo

CASES, SIZE = 80, 32


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``demo-data``, ``best.ckpt`` of a short training on it, and ``lesion.jpg``."""
    folder = tmp_path_factory.mktemp("docs")
    write_demo(folder / "demo-data", num_cases=CASES, image_size=SIZE)
    first = min((folder / "demo-data" / "images").iterdir())
    Image.open(first).convert("RGB").save(folder / "lesion.jpg")
    (folder / "conf").symlink_to(ROOT / "conf")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "disabled")
        options = [f"--data.image_size={SIZE}", "--trainer.max_epochs=1", "--explanations.size=0"]
        quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        assert main(["fit", "--config=conf/demo.yaml", *options, *quiet]) == 0
    (run,) = (folder / "runs" / "vitatt").iterdir()
    shutil.copyfile(run / "checkpoints" / "best.ckpt", folder / "best.ckpt")
    return folder


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one."""
    folder = Path(shutil.copytree(trained, tmp_path / "work", symlinks=True))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B knows no login, and keeps to the folder of the test."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
