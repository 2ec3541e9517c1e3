"""Where the encoder of a checkpoint got its weights from, which decides their licence."""

from __future__ import annotations

from pathlib import Path, PurePath

from vitatt.reading import read_yaml

RANDOM = "random"
"""The encoder started at random."""

HUB = "hub"
"""timm downloaded the weights."""


def weights_source(checkpoint: Path, encoder: str) -> str:
    """Return `RANDOM`, `HUB` or the name of a file; empty if it is not known.

    A checkpoint does not say it, but the configuration in the folder of its run does.

    Args:
        checkpoint: ``checkpoints/best.ckpt`` or another one in a run's folder.
        encoder: Name of its encoder, by which the configuration is known to be its own.

    Raises:
        UsageError: If the configuration cannot be read.
    """
    path = checkpoint.resolve().parent.parent / "config.yaml"
    if checkpoint.resolve().parent.name != "checkpoints" or not path.is_file():
        return ""
    model = read_yaml(path).get("model")
    if not isinstance(model, dict) or model.get("encoder") != encoder:
        return ""
    source = model.get("encoder_weights")
    if source is None:
        return RANDOM
    return PurePath(str(source)).name
