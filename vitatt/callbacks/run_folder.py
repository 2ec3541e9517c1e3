"""The folder of a run, for its checkpoints, maps, configuration and predictions."""

from __future__ import annotations

import os
from pathlib import Path

import lightning

from vitatt.callbacks.trainer import LesionTrainer
from vitatt.files import check_folder
from vitatt.types import UsageError

PROJECT = "vitatt"

_SETTING = "`trainer.logger.init_args.save_dir`"


def run_folder(trainer: lightning.Trainer) -> Path:
    """The folder of a run, by its first logger; without one, ``runs/vitatt/ID``."""
    logger = trainer.logger
    if logger is None or logger.save_dir is None:
        assert isinstance(trainer, LesionTrainer)
        root, name, version = Path(trainer.default_root_dir) / "runs", PROJECT, trainer.identity
    else:
        root, name, version = Path(logger.save_dir), str(logger.name), logger.version
    if not isinstance(version, str):
        version = f"version_{version}"  # as Lightning's own loggers name it
    return Path(os.path.relpath(root)) / name / version


def claim_run_folder(trainer: lightning.Trainer, resumed: Path | None) -> None:
    """Make the folder of a run; it must hold no results of another run.

    Args:
        trainer: Of the run.
        resumed: The checkpoint, its path in full, that a training goes on from; it may lie in that
            very folder.

    Raises:
        UsageError: If another run has the folder, or it cannot be made.
    """
    folder = run_folder(trainer)
    if resumed is not None and resumed.parent.parent == folder.resolve():
        check_folder(folder, _SETTING)
        return
    check_folder(folder.parent, _SETTING)
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise UsageError(
            f"The folder {folder} holds another run already, and results of two would mix. Leave "
            "out `trainer.logger.init_args.version`, or choose another one; to go on with a "
            f"training, add --ckpt_path {folder / 'checkpoints' / 'last.ckpt'}"
        ) from error
