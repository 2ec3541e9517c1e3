"""`make study-demo`: its steps, as make prints them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.slow


def steps() -> list[str]:
    """Shell commands of the target, without the installation."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    words = ["make", "-n", "study-demo", "-o", ".venv/.ready", "ARGS=--trainer.max_epochs=2"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = said.replace("\\\n", " ").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("test -d demo-data"))
    return lines[first:]


def test_the_demo_ends_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    program = tmp_path / ".venv/bin/vitatt"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vitatt "$@"\n')
    program.chmod(0o755)
    commands = steps()
    assert len(commands) == 6
    for again in (False, True):
        for command in commands:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        report = tmp_path / "study-demo/readings/analysis/report.html"
        assert done.stdout.splitlines()[-3] == f"Report: {report.relative_to(tmp_path)}"
        assert "The readers are simulated" in report.read_text()
        assert len(list((tmp_path / "runs/vitatt").iterdir())) == 1, again  # trained once
