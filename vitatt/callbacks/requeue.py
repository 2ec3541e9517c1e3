"""SLURM jobs that are queued again and then resume their training."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from vitatt.files import write_text


def requeue(runs: Path, checkpoint: Path) -> None:
    """Put the SLURM job of this process into its queue again; nothing outside of a job.

    Args:
        runs: Folder of the project's runs, in which the job will look for its checkpoint.
        checkpoint: Where to go on from.
    """
    if (job := _job(os.environ)) is None:
        return
    write_text(f"{checkpoint}\n", _note(runs, job))
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False
        )
        failure = done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure:
        rank_zero_warn(f"SLURM job {job} could not be put into the queue again: {failure}")
    else:
        rank_zero_info(f"SLURM job {job} is in the queue again, and will go on from there.")


def requeued_checkpoint(runs: Path) -> Path | None:
    """Checkpoint of this SLURM job from before it was queued again; None for other processes.

    Args:
        runs: Folder of the project's runs.
    """
    job = _job(os.environ)
    if job is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    note = _note(runs, job)
    if not note.is_file():
        return None
    checkpoint = Path(note.read_text(encoding="utf-8").rstrip("\n"))
    return checkpoint if checkpoint.is_file() else None


def _job(environment: Mapping[str, str]) -> str | None:
    array, task = (environment.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    if array and task:
        return f"{array}_{task}"
    return environment.get("SLURM_JOB_ID")


def _note(runs: Path, job: str) -> Path:
    return runs / f".requeued-{job}"
