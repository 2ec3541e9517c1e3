"""Commands that take a checkpoint: it decides the task, and the data are as it knows them."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from vitatt.commands.parsing import add_data_arguments
from vitatt.models.checkpoint import find_checkpoint, read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionTask

RUNS = Path("runs") / "vitatt"
"""Where the runs are that ``--ckpt_path best`` and ``last`` mean."""


def add_checkpoint_arguments(parser: ArgumentParser) -> None:
    """The trained model, and where the results go."""
    parser.add_argument("--ckpt_path", type=str, required=True, help="the trained model")
    parser.add_argument("--output", type=str, required=True, help="folder for all that is written")


def parse_with_checkpoint(parser: ArgumentParser, options: list[str]) -> Any:
    """Settings and the objects they describe; task and split are the checkpoint's.

    Args:
        parser: With `add_checkpoint_arguments`, and whatever the command asks for beside the data.
        options: Of the command.

    Raises:
        UsageError: If there is no usable checkpoint.
    """
    early = argparse.ArgumentParser(prog=parser.prog, add_help=False, allow_abbrev=False)
    early.add_argument("--ckpt_path")
    path = early.parse_known_args(options)[0].ckpt_path
    if path is not None:
        path = str(find_checkpoint(path, RUNS))
        # Also after the configuration of a training, which names the one it went on from, or none.
        options = [*options, f"--ckpt_path={path}"]
    add_data_arguments(parser)
    if path is None:  # it may be in the configuration
        path = str(find_checkpoint(parser.parse_args(options).ckpt_path, RUNS))
        options = [*options, f"--ckpt_path={path}"]
    task = LesionTask.from_plain(read_hyper_parameters(path)["task"])
    fold = {f"data.{name}": value for name, value in dataclasses.asdict(task.fold_spec).items()}
    parser.set_defaults({"data.dataset": task.dataset, **fold})
    settings = parser.parse_args(options)
    settings.data.task = task.to_plain()
    return parser.instantiate_classes(settings)


def load_model(path: str) -> LesionClassifier:
    """The model of a checkpoint in evaluation mode, on the accelerator if there is one.

    Raises:
        UsageError: If the file is no usable checkpoint.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LesionClassifier.load_from_checkpoint(path, map_location=device).eval()
