"""Files of W&B artifacts that are sent from where they lie."""

from __future__ import annotations

from pathlib import Path

import wandb


def add_in_place(artifact: wandb.Artifact, file: Path, name: str) -> None:
    """Add a file, of which W&B makes no copy to its staging folder or cache.

    Args:
        artifact: A draft.
        file: The file, its path in full; it must stay as it is until the run is sent.
        name: Its path in the artifact.
    """
    artifact.add_file(str(file), name=name, policy="immutable", skip_cache=True)
