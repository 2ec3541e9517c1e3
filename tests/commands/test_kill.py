"""Killed at any moment, a training goes on to the very end of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.long

MOMENTS = 20
WORDS = ["--trainer.max_epochs=10", "--early_stopping.patience=50", "--explanations.size=4"]


def start(folder: Path, options: list[str], *more: str) -> subprocess.Popen[str]:
    """A training in a process of its own; sums on one thread, which round in one order."""
    return subprocess.Popen(
        [sys.executable, "-m", "vitatt", "fit", *options, *WORDS, *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run_of(folder: Path) -> Path | None:
    return next(iter(folder.glob("runs/vitatt/*")), None)


def begun(folder: Path, process: subprocess.Popen[str]) -> Path:
    """The run's folder, as soon as there is a checkpoint to go on from."""
    while (run := run_of(folder)) is None or not (run / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    return run


def checkpoints(run: Path) -> dict[str, Any]:
    return {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("best", "last")
    }


@pytest.mark.slow
def test_kill_at_random_moments(options, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    process = start(whole, options)
    run = begun(whole, process)
    begin = time.monotonic()
    assert process.wait(300) == 0, process.communicate()[0]
    seconds = time.monotonic() - begin
    expected = checkpoints(run)
    history = expected["last"]["callbacks"]["BestCheckpoint"]["history"]
    assert expected["best"]["epoch"] == max(history, key=lambda one: one[0])[1]
    moments = random.Random(0)
    for number in range(MOMENTS):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        process = start(folder, options)
        run = begun(folder, process)
        wait = moments.uniform(0, 0.9 * seconds)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        first = (run / "config.yaml").read_bytes()
        epoch = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
        again = start(folder, options, f"--ckpt_path={run}")
        said, _ = again.communicate(timeout=300)
        assert again.returncode == 0, said
        assert "Checked: best.ckpt loads, is finite" in said
        assert (run / "config.yaml").read_bytes() == first
        assert run_of(folder) == run, "it goes on in its own folder"
        found = checkpoints(run)
        for name, checkpoint in expected.items():
            assert found[name]["epoch"] == checkpoint["epoch"], (number, name)
            for key, value in checkpoint["state_dict"].items():
                assert torch.equal(found[name]["state_dict"][key], value), (number, name, key)
        print(f"{number}: killed {wait:.1f} s after epoch 0, resumed after {epoch}; the same end")
