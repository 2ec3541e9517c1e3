"""Checkpoints by the names that they have in W&B; its server is played by a double."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

from vitatt.callbacks.wandb_checkpoint import local_checkpoint
from vitatt.options import run_command
from vitatt.types import UsageError


class Server:
    """Artifacts by their full names; calls are checked against wandb's own signatures."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.files = files
        self.asked: list[str] = []

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        inspect.signature(REAL).bind(*arguments, **more)
        return SimpleNamespace(artifact=self.artifact)

    def artifact(self, *arguments: Any, **more: Any) -> Any:
        bound = inspect.signature(REAL.artifact).bind(None, *arguments, **more).arguments
        assert bound["type"] == "model"
        self.asked.append(bound["name"])
        if bound["name"] not in self.files:
            raise wandb.errors.CommError("artifact not found\nmore")
        return SimpleNamespace(
            version="v3", download=lambda *a, **m: self.download(bound["name"], *a, **m)
        )

    def download(self, name: str, *arguments: Any, **more: Any) -> str:
        bound = inspect.signature(wandb.Artifact.download).bind(None, *arguments, **more).arguments
        folder = Path(bound["root"])
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.files[name]:
            (folder / file).write_text(name)
        return str(folder)


REAL = wandb.Api


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    files = {
        "me/skin/model-r1:best": ["best.ckpt"],
        "skin/model-r1:v0": ["last.ckpt"],
        "me/skin/model-odd:best": ["a.ckpt", "b.ckpt"],
    }
    monkeypatch.setattr(wandb, "Api", found := Server(files))
    return found


@pytest.mark.parametrize(
    ("name", "full", "file"),
    [
        ("wandb:me/skin/r1:best", "me/skin/model-r1:best", "me-skin/r1/v3/best.ckpt"),
        ("wandb:me/skin/r1", "me/skin/model-r1:best", "me-skin/r1/v3/best.ckpt"),
        ("wandb:skin/r1:v0", "skin/model-r1:v0", "skin/r1/v3/last.ckpt"),
    ],
)
def test_a_name_of_wandb_becomes_a_file(
    server: Server, tmp_path: Path, name: str, full: str, file: str
) -> None:
    path = Path(local_checkpoint(name, tmp_path))
    assert path == tmp_path / "wandb" / "downloads" / file
    assert path.read_text() == full


def test_other_names_stay_and_ask_nobody(server: Server) -> None:
    for name in ("best", "runs/vitatt/x", "hf:me/model", "model=best.ckpt"):
        assert local_checkpoint(name) == name
    assert not server.asked


@pytest.mark.parametrize("name", ["wandb:", "wandb:run", "wandb:a/b/c/d", "wandb:me/skin/r1:"])
def test_a_malformed_name_is_refused(server: Server, name: str) -> None:
    with pytest.raises(UsageError, match="as wandb:ENTITY/PROJECT/RUN:best, but got"):
        local_checkpoint(name)
    assert not server.asked


def test_what_cannot_be_fetched_is_named(server: Server, tmp_path: Path) -> None:
    match = r"'wandb:me/skin/no' could not .*me/skin/model-no:best \(artifact not found\)"
    with pytest.raises(UsageError, match=match):
        local_checkpoint("wandb:me/skin/no", tmp_path)
    with pytest.raises(UsageError, match=r"Expected one checkpoint .* but it has 2"):
        local_checkpoint("wandb:me/skin/odd", tmp_path)


def test_every_command_takes_such_names(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[Any] = []

    def one(*, ckpt_path: str) -> int:
        """Take one.

        Args:
            ckpt_path: A checkpoint.
        """
        found.append(ckpt_path)
        return 0

    def several(*, ckpt_paths: list[str]) -> int:
        """Take several.

        Args:
            ckpt_paths: Checkpoints.
        """
        found.extend(ckpt_paths)
        return 0

    assert run_command(one, ["--ckpt_path=wandb:me/skin/r1:best"]) == 0
    assert run_command(several, ["--ckpt_paths", '["a=wandb:me/skin/r1", "b.ckpt"]']) == 0
    downloaded = "runs/wandb/downloads/me-skin/r1/v3/best.ckpt"
    assert [str(name).replace(f"{tmp_path.resolve()}/", "") for name in found] == [
        downloaded,
        f"a={downloaded}",
        "b.ckpt",
    ]
