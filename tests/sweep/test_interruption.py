"""Killed at random moments and started again, a sweep on the demo ends as if undisturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from vitatt.data.synthetic.demo import write_demo

ROOT = Path(__file__).parents[2]


def start(options: list[str], folder: Path) -> subprocess.Popen[bytes]:
    code = "import sys; from vitatt.cli import main; sys.exit(main(['sweep', *sys.argv[1:]]))"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, *options],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )


@pytest.mark.slow
def test_killed_twice(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    write_demo(tmp_path / "data", num_cases=300, image_size=128)
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def options(folder: Path) -> list[str]:
        folder.mkdir(exist_ok=True)
        return [
            *("--config=conf/sweep/demo.yaml", "--trials=8", "--inner_folds=2"),
            f"--output={folder / 'out'}",
            f"--data.root={tmp_path / 'data'}",
            f"--data.cache_dir={tmp_path / 'cache'}",
        ]

    def log(folder: Path) -> str:
        return (folder / "log").read_text()[-3000:]

    began = time.monotonic()
    assert start(options(whole), whole).wait() == 0, log(whole)
    seconds = time.monotonic() - began
    rng = random.Random(int(os.environ.get("VITATT_KILL_SEED", "0")))
    trials = killed / "out" / "trials"
    for kill in range(2):
        process = start(options(killed), killed)
        begun = len(list(trials.glob("0*.json")))
        while len(list(trials.glob("0*.json"))) <= begun and process.poll() is None:
            time.sleep(0.02)
        wait = rng.uniform(0.2, 0.35 * seconds)
        time.sleep(wait)
        assert process.poll() is None, log(killed)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        states = [yaml.safe_load(path.read_text()) for path in sorted(trials.glob("0*.json"))]
        done = sum(len(one["folds"]) for one in states)
        print(f"kill {kill + 1} after {wait:.1f} s: {len(states)} trials begun, {done} trainings")
    assert start(options(killed), killed).wait() == 0, log(killed)
    tables = [pl.read_csv(one / "out" / "trials.csv").drop("seconds") for one in (whole, killed)]
    for name, table in zip((f"undisturbed, {seconds:.0f} s", "killed twice"), tables, strict=True):
        print(f"{name}:", table.drop("low", "high", "reason").write_csv(), sep="\n")
    assert tables[1].equals(tables[0])
    best = [yaml.safe_load((one / "out" / "best.yaml").read_text()) for one in (whole, killed)]
    assert best[0] == best[1]
    assert (
        log(whole).partition("Best: ")[2].splitlines()[:2]
        == (log(killed).partition("Best: ")[2].splitlines()[:2])
    )
