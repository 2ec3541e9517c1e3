"""fit, validate, test and predict."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vitatt.callbacks.tracking import closing_run
from vitatt.training import TrainingCLI


def train(options: Sequence[str] | None) -> int:
    """Run a command of the trainer and end its W&B run.

    Args:
        options: Command and options; by default those of the shell.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 where precision is not bfloat16 anyway
    with closing_run():
        TrainingCLI(options)
    return 0
