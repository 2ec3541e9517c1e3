"""doctor: what it says of this machine, and what it finds wrong with folders and caches."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from vitatt.commands.doctor import doctor
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.cache_check import check_caches
from vitatt.data.images.token_cache import TokenCache
from vitatt.environment import machine as doctor_machine
from vitatt.environment import versions as doctor_versions
from vitatt.options import run_command

pytestmark = pytest.mark.long


@pytest.fixture
def cache(demo_root: Path, tmp_path: Path) -> Path:
    """A folder with a whole cache of images, and tokens of two images of three."""
    folder = tmp_path / "cache"
    data = LesionDataModule("pad_ufes_20", str(demo_root), image_size=32, cache_dir=str(folder))
    assert len(data.labelled.cache.pixels) == 60
    tokens = TokenCache(folder, key="x", num_slots=3, num_versions=1, token_shape=(2, 4))
    rows = np.array([0, 2])
    tokens.fill(rows, 0, lambda slots, view: slots, lambda slots: _zeros(len(slots)))
    return folder


def _zeros(count: int):
    import torch

    return torch.zeros(count, 2, 4)


@pytest.fixture
def said(cache, capsys):
    """What the command prints, and its status."""

    def run(*words: str, folder: Path = cache) -> tuple[int, str]:
        status = run_command(doctor, [f"--cache_dir={folder}", *words])
        return status, capsys.readouterr().out

    return run


def test_a_machine_in_order(said, cache, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, text = said()
    assert status == 0
    assert text.endswith("Problems: 0\n")
    for name in ("torch", "lightning", "timm", "wandb", "albumentations", "polars", "numpy"):
        assert f"  {name} {metadata.version(name)}\n" in text
    assert "GPU" in text
    assert "job: SLURM_JOB_ID=4711 WORLD_SIZE=2" in text
    assert f"cache: {cache}, " in text
    assert "runs: runs (not made yet), " in text
    assert f"here: {tmp_path}, " in text
    assert "not logged in" in text
    assert "whole: 60 images, 0 of them unreadable" in text
    assert "as far as it was needed: 2 of 3 images" in text
    assert "knows 60 image files" in text
    assert "whole: 0 pairs of nearly equal images" in text
    assert not Path("runs").exists(), "it changes nothing"


def only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def test_a_truncated_cache(said, cache) -> None:
    for pattern in ("images-32px-*.u8", "tokens-*.f16"):
        file = only(cache, pattern)
        file.write_bytes(file.read_bytes()[:-1])
    status, text = said()
    assert status == 1
    images, tokens = only(cache, "images-32px-*.u8"), only(cache, "tokens-*.f16")
    assert "Problems: 2\n" in text
    assert f"{images} is truncated: its size is not that of whole images." in text
    assert f"{tokens} is truncated: 3 marks do not fit its size." in text


def damage_summary(cache: Path) -> None:
    only(cache, "images-32px-*.json").write_text("[1]")


def lose_summary(cache: Path) -> None:
    only(cache, "images-32px-*.json").unlink()


def lose_marks(cache: Path) -> None:
    only(cache, "tokens-*.marks").unlink()


def damage_ledger(cache: Path) -> None:
    (cache / "digests.json").write_bytes(b"{\xff")


def damage_pairs(cache: Path) -> None:
    only(cache, "near-*.npz").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_pairs, "near-.*npz is damaged; images are compared anew"),
        (damage_summary, "json is damaged; is decoded anew"),
        (lose_summary, "has no images-32px-.*json; is decoded anew"),
        (lose_marks, "has no marks of what is filled: begins anew"),
        (damage_ledger, "digests.json is damaged: every image file is read again"),
    ],
)
def test_a_damaged_cache(said, cache, damage, message) -> None:
    damage(cache)
    status, text = said()
    assert status == 1
    assert "Problems: 1\n" in text
    assert re.search(message, text)


def test_an_unfinished_cache_is_no_problem(said, cache) -> None:
    file = only(cache, "images-32px-*.u8")
    partial = file.rename(file.with_suffix(".partial"))
    only(cache, "images-32px-*.json").unlink()
    marks = np.zeros(60, np.uint8)
    marks[:7] = 1
    partial.with_suffix(".marks").write_bytes(marks.tobytes())
    (cache / ".digests.17-ab.part.json").write_text("{")
    status, text = said()
    assert status == 0
    assert "unfinished: 7 of 60 images; goes on from there" in text
    assert "left over from a process that died" in text
    partial.with_suffix(".marks").write_bytes(marks.tobytes()[:-1])
    assert said()[0] == 1
    partial.with_suffix(".marks").unlink()
    assert "unfinished, without marks" in said()[1]


def test_a_folder_that_cannot_be_written(said, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    status, text = said(f"--runs={tmp_path / 'file' / 'runs'}", folder=tmp_path / "file" / "cache")
    assert status == 1
    assert "Problems: 2\n" in text
    for name in ("cache", "runs"):
        assert f"{tmp_path / 'file' / name} ({name}) cannot be written: Not a directory." in text


def test_a_disk_that_is_nearly_full(said, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 5e8})
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda place: usage)
    status, text = said()
    assert status == 1
    assert "Less than 1 GB is free for runs: 0.50 GB in runs." in text


def test_no_folder_for_temporary_files(said, monkeypatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("none")

    monkeypatch.setattr(doctor_machine.tempfile, "gettempdir", nowhere)
    assert "No temporary file can be written: set TMPDIR" in said()[1]


def test_another_version_than_was_asked_for(said, monkeypatch) -> None:
    version = metadata.version
    found = {"lightning": "2.6.3", "timm": None}
    monkeypatch.setattr(
        doctor_versions,
        "_version",
        lambda name: found.get(name, "9") if name in found else version(name),
    )
    status, text = said()
    assert status == 1
    assert "lightning 2.6.3, expected ==2.6.6\n" in text
    assert "lightning 2.6.3 is not ==2.6.6: pip install 'lightning==2.6.6'." in text
    assert re.search(r"timm: not installed, expected >=1\.0\.\d+\n", text)


def test_offline_runs_and_logins(said, tmp_path, monkeypatch) -> None:
    for name, sent in (("a", True), ("b", False), ("c", False)):
        run = tmp_path / "runs" / "wandb" / f"offline-run-20260101_000000-{name}"
        run.mkdir(parents=True)
        (run / f"run-{name}.wandb").write_text("")
        if sent:
            (run / f"run-{name}.wandb.synced").write_text("")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    text = said()[1]
    assert "were not sent: 2\n" in text
    assert "mode: offline\n" in text
    assert "server: https://wandb.example.org\n" in text
    assert "not logged in" in text
    logins = tmp_path / "logins"
    monkeypatch.setenv("NETRC", str(logins))
    logins.write_text("machine wandb.example.org login user password SECRET\n")
    text = said()[1]
    assert f"logged in, by {logins}\n" in text
    assert "SECRET" not in text
    logins.write_text("nonsense wandb.example.org\n")
    status, text = said()
    assert status == 1
    assert f"The file of logins {logins} cannot be read" in text
    monkeypatch.setenv("WANDB_API_KEY", "SECRET")
    text = said()[1]
    assert "logged in, by WANDB_API_KEY\n" in text
    assert "SECRET" not in text


@pytest.mark.slow
def test_no_home_folder(tmp_path) -> None:
    """As in a container whose user has no name."""
    code = (
        "import os, pwd, sys\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "for name in ('HOME', 'XDG_CACHE_HOME', 'NETRC'): os.environ.pop(name, None)\n"
        "from vitatt.commands.doctor import doctor\n"
        "sys.exit(doctor())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode == 1, run.stderr
    assert "Problems: 1\n" in run.stdout
    assert "There is no home folder" in run.stdout
    assert "Traceback" not in run.stderr


def test_a_folder_of_no_caches(tmp_path, said) -> None:
    assert check_caches(tmp_path / "gone") == []
    (tmp_path / "notes.u8").write_text(json.dumps(["somebody else's"]))
    assert check_caches(tmp_path) == []
    assert f"none in {tmp_path}" in said(folder=tmp_path)[1]
