"""A trainer that writes complete checkpoints."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.fabric.plugins.io import TorchCheckpointIO

from vitatt.callbacks.checkpoint_file import WholeCheckpointIO
from vitatt.callbacks.identity import new_identity


class LesionTrainer(lightning.Trainer):
    """Lightning's trainer; the command line gets its options from these methods.

    Attributes:
        identity: A name that no other run has; all processes have the first one's once they run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity = new_identity()
        if type(self.strategy.checkpoint_io) is TorchCheckpointIO:  # not one that a user chose
            self.strategy.checkpoint_io = WholeCheckpointIO()
