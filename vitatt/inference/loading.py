"""Models by the paths and names that users give, run by PyTorch or by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitatt.imports import without_collection
from vitatt.inference.hub import PREFIX, downloaded
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.models.exported import FILES, format_of
from vitatt.types import UsageError

if TYPE_CHECKING:
    import torch

    from vitatt.inference.ensemble import Ensemble
    from vitatt.inference.onnx_models import OnnxEnsemble

RUNS = Path("runs") / "vitatt"
"""Folder of the runs that the checkpoints ``best`` and ``last`` are looked for in."""


def load_models(
    given: Sequence[str | Path], device: str | torch.device | None
) -> Ensemble | OnnxEnsemble:
    """Return the models of checkpoints or exports, see `vitatt.Predictor.load`.

    Raises:
        UsageError: If one does not exist or cannot be used, some are to be run by PyTorch and
            others by ONNX Runtime, or they cannot be averaged.
    """
    paths = [_place(path) for path in given]
    formats = {path: format_of(path) for path in paths}
    if programs := [path for path in paths if formats[path] == "torch_export"]:
        raise UsageError(
            f"{programs[0]} holds a program of torch.export, which knows tensors and no answers: "
            "run it by torch.export.load(...).module(), or export the checkpoint with --format "
            "onnx or safetensors, which Predictor loads."
        )
    exported = [path for path in paths if formats[path] == "onnx"]
    if not exported:
        with without_collection():
            from vitatt.inference.ensemble import Ensemble  # imports PyTorch and timm

        return Ensemble.load(paths, device)
    if others := [path for path in paths if path not in exported]:
        raise UsageError(
            "Expected models of one runtime, but "
            f"{exported[0]} is run by ONNX Runtime and {others[0]} by PyTorch. Export all of them "
            "with --format onnx, or name the checkpoints of all."
        )
    from vitatt.inference.onnx_models import OnnxEnsemble  # imports ONNX Runtime

    return OnnxEnsemble.load(exported, device)


def _place(given: str | Path) -> Path:
    """File of a checkpoint, or folder of an export, whose file may be named as well."""
    if isinstance(given, str) and given.startswith(PREFIX):
        return downloaded(given)
    path = Path(given).expanduser()
    if path.name in FILES.values() and format_of(path.parent):
        return path.parent
    return path if path.is_dir() and format_of(path) else find_checkpoint(given, RUNS)
