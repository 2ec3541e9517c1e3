"""Metrics and figures of an embedding as a separate W&B run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray

from vitatt.callbacks.tracking import RunLogger, closing_run


def log_embedding(
    output: Path,
    facts: Mapping[str, Any],
    metrics: Mapping[str, float],
    figures: Mapping[str, NDArray[np.uint8]],
) -> None:
    """Log metrics and figures; print the command that sends them if the run is offline.

    Args:
        output: Folder of the results, in which the run's own lies.
        facts: Checkpoint, data and seed.
        metrics: By name.
        figures: (H, W, 3) by name.
    """
    with closing_run():
        logger = RunLogger(name="embedding", save_dir=str(output / "runs"))
        logger.log_hyperparams(dict(facts))
        images = {name: wandb.Image(figure) for name, figure in figures.items()}
        logger.log_metrics({f"embedding/{name}": v for name, v in {**metrics, **images}.items()})
        if logger.sync_command:
            rank_zero_info(f"To send this run to W&B: wandb login, then {logger.sync_command}")
