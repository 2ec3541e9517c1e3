"""What a run leaves, read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


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
