"""What a checkpoint says about itself."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from vitatt.types import LesionTask, UsageError


def read_hyper_parameters(path: str | Path) -> dict[str, Any]:
    """The settings a checkpoint's model was made with, among them the plain form of its task.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint of this package.
    """
    saved = _read(Path(path)).get("hyper_parameters")
    if not saved or "task" not in saved:
        raise UsageError(f"{path} is no checkpoint of `vitatt fit`: it says nothing of its task.")
    LesionTask.from_plain(saved["task"])
    result: dict[str, Any] = saved
    return result


def was_divided(path: str | Path) -> bool:
    """Whether the network was divided among processes: its optimizer's state is in other order.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    return bool(_read(Path(path)).get("divided"))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"The checkpoint {path} does not exist.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} cannot be read as a checkpoint: {first_line}") from error
    return checkpoint if isinstance(checkpoint, dict) else {}
