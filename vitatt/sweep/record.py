"""The folder of a sweep: its lock, and the record of the settings that its trials have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from vitatt.benchmark.record import changed_settings
from vitatt.files import check_folder, claim_folder, write_text
from vitatt.reading import read_yaml
from vitatt.sweep.plan import SweepPlan
from vitatt.types import UsageError

_RECORD = "config.yaml"
_LOCK = ".vitatt-sweep.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a folder for one process, which is new or that of a sweep.

    Args:
        folder: The folder.

    Raises:
        UsageError: If it is neither, cannot be written, or another process works in it.
    """
    if any((folder / own).exists() for own in (_LOCK, "trials")):
        check_folder(folder, "--output")
    else:
        claim_folder(folder)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"Another `vitatt sweep` works in {folder}. Wait for it, or name another --output."
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_and_record(plan: SweepPlan, config: Mapping[str, Any], *, started: bool) -> None:
    """Write the settings of a search, or compare them with those that its trials had.

    Args:
        plan: The search.
        config: The configuration that all trials start from.
        started: Whether there are trials already.

    Raises:
        UsageError: If others would be mixed with them.
    """
    settings = {
        "method": plan.method,
        "metric": plan.metric,
        "parameters": {
            one.name: {
                "values": list(one.values),
                "min": None if one.values else one.low,
                "max": None if one.values else one.high,
                "log": one.log,
                "q": one.step,
                "whole": one.whole,
            }
            for one in plan.parameters
        },
        "inner_folds": plan.inner_folds,
        "seed": plan.seed,
        "threads": plan.threads,
    }
    recorded = {**config, "sweep": settings}
    path = plan.output / _RECORD
    if not started:
        write_text(yaml.safe_dump(recorded, sort_keys=True), path)
    elif changed := changed_settings(read_yaml(path), recorded):
        shown = "\n  ".join(changed[:8])
        raise UsageError(
            f"{plan.output} holds trials with other settings:\n  {shown}\n"
            "Name another --output, or remove that folder."
        )
