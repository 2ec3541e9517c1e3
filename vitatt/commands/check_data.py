"""check-data: what is in a dataset, and what would spoil a training."""

from __future__ import annotations

import argparse
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.data.check import check
from vitatt.data.datamodule import LesionDataModule

_OTHER_SECTIONS = (
    "seed_everything",
    "trainer",
    "model",
    "explanations",
    "token_cache",
    "checkpoint",
    "early_stopping",
    "ckpt_path",
    "weights_only",
)


def check_data(options: list[str]) -> int:
    """Print the report; 1 if something in the data would spoil a training, else 0."""
    parser = ArgumentParser(prog="vitatt check-data", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--config", action=ActionConfigFile, help="as for `vitatt fit`")
    parser.add_class_arguments(LesionDataModule, "data", skip={"task"})
    parser.add_argument("--data.task", type=Any, help=argparse.SUPPRESS)
    for section in _OTHER_SECTIONS:  # so that the configuration of a training can be read
        parser.add_argument(f"--{section}", type=Any, help=argparse.SUPPRESS)
    datamodule: LesionDataModule = parser.instantiate_classes(parser.parse_args(options)).data
    report = check(datamodule)
    print(report.text)
    return 1 if report.problems else 0
