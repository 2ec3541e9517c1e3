"""Checkpoint files that are written completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from vitatt.files import whole_file


class WholeCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, then move it there.

    Lightning writes to the folder for temporary files; from another disk the move is a copy, which
    a process that is killed leaves half done in the place of the checkpoint before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the file; the one before stays until the new one is complete.

        Args:
            checkpoint: Content of the file.
            path: The file, on a local disk.
            storage_options: Must be None.

        Raises:
            OSError: If the file cannot be written, or the disk is full.
        """
        assert storage_options is None
        with whole_file(Path(path)) as part, part.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # its message has no reason
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from error
                raise
