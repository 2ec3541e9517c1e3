"""What a run leaves, read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vitatt.cli import main


def everything(run: Path) -> str:
    """The records of an offline run, a line each, by W&B's own reader."""
    (record,) = run.parents[1].glob(f"wandb/offline-run-*{run.name}")
    reader = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    return subprocess.run([*reader, str(record)], capture_output=True, text=True, check=True).stdout


def history(run: Path) -> list[dict[str, Any]]:
    """What was logged, step by step."""
    records = [json.loads(line) for line in everything(run).splitlines()]
    return [r for r in records if r["type"] == "history"]


def only_run(folder: Path = Path()) -> Path:
    """The folder of the only run below a folder."""
    (run,) = (folder / "runs" / "vitatt").iterdir()
    return run


def group_of(record: Path) -> str:
    """The group of an offline run, given its folder, by W&B's own reader."""
    reader = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    text = subprocess.run([*reader, str(record)], capture_output=True, text=True, check=True).stdout
    (run,) = (json.loads(line)["run"] for line in text.splitlines() if '"type":"run"' in line)
    return run["run_group"]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says as it ends with status 2, in words and before a W&B run begins."""
    capsys.readouterr()
    try:
        status = main(words)
    except SystemExit as leaving:
        status = leaving.code
    printed = capsys.readouterr()
    assert status == 2, printed.err
    assert "Traceback" not in printed.out + printed.err
    assert not list(Path().glob("runs/*/*"))
    return " ".join(printed.err.split())
