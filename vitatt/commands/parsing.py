"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.data.datamodule import LesionDataModule

_OTHER_SECTIONS = (
    "seed_everything",
    "trainer",
    "model",
    "explanations",
    "explanation_tests",
    "token_cache",
    "checkpoint",
    "early_stopping",
    "ckpt_path",
    "weights_only",
)


def add_data_arguments(parser: ArgumentParser) -> None:
    """The options of the data module, from the configuration of a training as well."""
    parser.add_argument("--config", action=ActionConfigFile, help="as for `vitatt fit`")
    parser.add_class_arguments(LesionDataModule, "data", skip={"task"})
    parser.add_argument("--data.task", type=dict | None, help=argparse.SUPPRESS)
    known = {action.dest for action in parser._actions}
    for section in _OTHER_SECTIONS:  # so that the configuration of a training can be read
        if section not in known:
            parser.add_argument(f"--{section}", type=_ignored, help=argparse.SUPPRESS)


def _ignored(value: Any) -> None:
    """Whatever it is; `Any` would make the objects that the configuration describes."""
