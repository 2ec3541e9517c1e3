"""One table, on the screen and in ``bench.json``, of all that was measured."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb

Record = Callable[..., None]
_ROWS = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """Notes metrics with their bounds and, after the test has measured all, holds it to them."""
    rows = request.config.stash.setdefault(_ROWS, [])
    missed = []

    def note(
        what: str, value: float, *, unit: str = "x", least: float = 0, most: float = float("inf")
    ) -> None:
        bounds = {"at least": least} if least else {}
        bounds |= {"at most": most} if most < float("inf") else {}
        rows.append({"what": what, "value": value, "unit": unit, **bounds})
        if not least <= value <= most:
            missed.append(f"{what}: {value:.3g} {unit}, expected {bounds}")

    yield note
    assert not missed, "\n".join(missed)


@pytest.fixture(autouse=True)
def _end_of_run() -> Iterator[None]:
    """Ends the W&B run of a test, also of one that failed, for the next test."""
    yield
    wandb.finish()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print and save the table."""
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    machine = {
        "device": device or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(", ".join(f"{name} {value}" for name, value in machine.items()))
    width = max(len(row["what"]) for row in rows)
    for row in rows:
        bounds = ", ".join(
            f"{word} {row[word]:g}" for word in ("at least", "at most") if word in row
        )
        line = f"{row['what']:{width}}  {row['value']:9.3g} {row['unit']:4} {bounds}"
        terminalreporter.write_line(line.rstrip())
    path = Path(config.rootpath) / "bench.json"
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    terminalreporter.write_line(f"Saved as {path}")
