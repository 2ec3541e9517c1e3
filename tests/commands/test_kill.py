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

MOMENTS = 20
WORDS = ["--trainer.max_epochs=6", "--early_stopping.patience=50", "--explanations.size=4"]


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
    """The run's folder, as soon as it is there."""
    while (run := run_of(folder)) is None:
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
    begun(whole, process)
    begin = time.monotonic()
    assert process.wait(300) == 0, process.communicate()[0]
    seconds = time.monotonic() - begin
    run = run_of(whole)
    assert run is not None
    expected = checkpoints(run)
    history = expected["last"]["callbacks"]["BestCheckpoint"]["history"]
    assert expected["best"]["epoch"] == max(history, key=lambda one: one[0])[1]
    moments = random.Random(0)
    saved = []
    for number in range(MOMENTS):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        process = start(folder, options)
        run = begun(folder, process)
        time.sleep(moments.uniform(0, 0.9 * seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = sorted(path.name for path in run.glob("checkpoints/*.ckpt"))
        config = run / "config.yaml"
        first = config.read_bytes() if config.is_file() else None
        saved.append("last.ckpt" in left)
        again = start(folder, options, *([f"--ckpt_path={run}"] if saved[-1] else []))
        said, _ = again.communicate(timeout=300)
        assert again.returncode == 0, said
        assert "Checked: best.ckpt loads, is finite" in said
        if first is not None:
            assert config.read_bytes() == first
        # Without a checkpoint, the same command began anew in a folder of its own.
        (end,) = [run] if saved[-1] else [p for p in folder.glob("runs/vitatt/*") if p != run]
        found = checkpoints(end)
        for name, checkpoint in expected.items():
            assert found[name]["epoch"] == checkpoint["epoch"], (number, name)
            for key, value in checkpoint["state_dict"].items():
                assert torch.equal(found[name]["state_dict"][key], value), (number, name, key)
        print(f"moment {number}: killed with {', '.join(left) or 'no checkpoint'}; the same end")
    assert any(saved), "some were killed after their first epoch"
