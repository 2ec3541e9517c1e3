"""The trials of a sweep as one W&B run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vitatt.callbacks.tracking import RunLogger, closing_run
from vitatt.callbacks.wandb_tables import log_table


def log_sweep(
    output: Path, facts: Mapping[str, Any], trials: pl.DataFrame, best: Mapping[str, float]
) -> None:
    """Log the table of trials and the best metric.

    Args:
        output: The sweep's folder, whose name is the group.
        facts: Its settings and the best parameters.
        trials: One row for each trial.
        best: Best metric by name.
    """
    with closing_run():
        logger = RunLogger(name="summary", save_dir=str(output / "runs"), group=output.name)
        logger.log_hyperparams(dict(facts))
        log_table(logger, "sweep/trials", trials)
        logger.log_metrics(dict(best))
