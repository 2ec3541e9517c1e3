"""Networks as safetensors with a description beside them, which hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from vitatt.models.exported import read_exported
from vitatt.types import UsageError


def read_weights_folder(path: Path) -> dict[str, Any]:
    """Return exported weights in the form of a checkpoint, which is to be checked as one.

    Args:
        path: Folder of `vitatt export --format safetensors`.

    Raises:
        UsageError: If it holds no such export, or a file is damaged.
    """
    model = read_exported(path)
    if model.format != "safetensors":
        raise UsageError(
            f"{path} holds an export of the format {model.format}, of which no network of PyTorch "
            "can be made. Export with --format safetensors, or name the checkpoint."
        )
    try:
        weights = load_file(model.file)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{model.file} cannot be read as safetensors: {error}") from error
    return {
        "hyper_parameters": {**model.plain["network"], "task": model.plain["task"]},
        "state_dict": weights,
    }
