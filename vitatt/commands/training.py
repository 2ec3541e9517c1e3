"""The commands of the Lightning trainer, such as `vitatt fit`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from vitatt.callbacks.tracking import closing_run
from vitatt.terminal import outliving_terminal
from vitatt.training import TrainingCLI


def train(words: Sequence[str]) -> int:
    """Run a command of the trainer and end its W&B run.

    Args:
        words: Command and options.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32 where precision is not bfloat16 anyway
    # Lightning warns of options that it does not read from the shell itself.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter")
    with outliving_terminal(), closing_run():
        TrainingCLI(words)
    return 0
