"""The tables of a benchmark as a separate W&B run in the group of its trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from vitatt.callbacks.tracking import RunLogger, closing_run
from vitatt.callbacks.wandb_tables import log_table


def log_benchmark(output: Path, facts: dict[str, Any], tables: dict[str, pl.DataFrame]) -> None:
    """Log facts and tables.

    Args:
        output: The benchmark's folder, whose name is the group.
        facts: The protocol.
        tables: By name.
    """
    with closing_run():
        logger = RunLogger(name="summary", save_dir=str(output / "runs"), group=output.name)
        logger.log_hyperparams(facts)
        for name, table in tables.items():
            log_table(logger, f"benchmark/{name}", table)
