"""The data and the model of a study, from settings and a checkpoint."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionTask, UsageError
from vitatt.words import did_you_mean


def make_datamodule(settings: Mapping[str, Any]) -> LesionDataModule:
    """A data module, its settings checked.

    Args:
        settings: Arguments of `LesionDataModule` by name.

    Raises:
        UsageError: If a setting is unknown, ``dataset`` is missing or unknown, or a number is out
            of its range.
        DataError: If the data, or these settings for this data, cannot be used.
    """
    _check_names(settings)
    if settings.get("dataset") is None:
        raise UsageError(
            f"Expected `data.dataset` to name a dataset among {', '.join(DATASETS)}, but got none."
        )
    return LesionDataModule(**settings)


def datamodule_of_checkpoint(path: str | Path, settings: Mapping[str, Any]) -> LesionDataModule:
    """The data of a checkpoint: its task, and its fold where the settings name no other.

    Args:
        path: File of the checkpoint.
        settings: Arguments of `LesionDataModule` by name; ``task`` is the checkpoint's.

    Raises:
        UsageError: If the file is no usable checkpoint, or as `make_datamodule`.
        DataError: If the data are not those of the checkpoint.
    """
    return datamodule_of_task(LesionTask.from_plain(read_hyper_parameters(path)["task"]), settings)


def datamodule_of_task(task: LesionTask, settings: Mapping[str, Any]) -> LesionDataModule:
    """The data of a model's task, see `datamodule_of_checkpoint`."""
    _check_names(settings)
    known = {"dataset": task.dataset, **dataclasses.asdict(task.fold_spec)}
    return make_datamodule({**known, **settings, "task": task.to_plain()})


def load_model(path: str | Path) -> LesionClassifier:
    """The model of a checkpoint in evaluation mode, on the accelerator if there is one.

    Args:
        path: File of the checkpoint.

    Raises:
        UsageError: If the file is no usable checkpoint.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LesionClassifier.load_from_checkpoint(path, map_location=device).eval()


def _check_names(settings: Mapping[str, Any]) -> None:
    known = list(inspect.signature(LesionDataModule).parameters)
    for name in settings:
        if name not in known:
            raise UsageError(
                f"`data` has no setting '{name}'.{did_you_mean(name, known)} It has: "
                f"{', '.join(known)}."
            )
