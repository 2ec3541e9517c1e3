"""Verification of the checkpoints at the end of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitatt.callbacks.checkpoints import BEST, LAST, BestCheckpoint
from vitatt.models.weight_checks import require_finite
from vitatt.types import UsageError


def verify_checkpoints(folder: Path, keeper: BestCheckpoint, step: int) -> str:
    """One line on the checkpoints of a training, read back from disk.

    Args:
        folder: Holds them.
        keeper: Has the log of validation runs, and kept the best.
        step: Optimizer steps of the whole training.

    Raises:
        UsageError: If a checkpoint cannot be loaded, has weights that are no finite numbers, or is
            not of the best epoch or the last step.
    """
    last = _read(folder / LAST)
    if last["global_step"] != step:
        raise UsageError(
            f"Expected {folder / LAST} to be of step {step}, the last one, but it is of step "
            f"{last['global_step']}: something else wrote it while this training ran."
        )
    done = f"{LAST} is step {step}, the last one"
    if keeper.best is None:
        return (
            f"Checked: {done}. No validation run took place, so there is no {BEST}: it needs "
            "`trainer.check_val_every_n_epoch` to be at most `trainer.max_epochs`."
        )
    if keeper.save_top_k == 0:
        return f"Checked: {done}. No {BEST} was asked for."
    best, expected = _read(folder / BEST), keeper.best
    which = (
        "the last"
        if keeper.monitor is None
        else f"the best {keeper.monitor} ({expected.score:.4f})"
    )
    if (best["epoch"], best["global_step"]) != (expected.epoch, expected.step):
        raise UsageError(
            f"Expected {folder / BEST} to be of epoch {expected.epoch} and step {expected.step}, "
            f"{which} of the log, but it is of epoch {best['epoch']} and "
            f"step {best['global_step']}: something else wrote it while this "
            "training ran, or this training went on from before it and did not get there again."
        )
    return (
        f"Checked: {BEST} loads, is finite and is epoch {expected.epoch}, {which} of "
        f"{len(keeper.history)} validation runs; {done}."
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"Expected {path} at the end of the training, but it is not there.")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    require_finite(checkpoint["state_dict"], f"The checkpoint {path}")
    return checkpoint
