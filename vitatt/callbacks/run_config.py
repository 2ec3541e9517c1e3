"""The record of a run: its configuration, its best checkpoint, and its folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import lightning
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from vitatt.callbacks.checkpoints import BestCheckpoint
from vitatt.callbacks.model_artifacts import log_models
from vitatt.callbacks.run_folder import run_folder
from vitatt.callbacks.tracking import RunLogger, run_logger
from vitatt.callbacks.trainer import LesionTrainer
from vitatt.callbacks.verification import verify_checkpoints
from vitatt.files import write_text


class RunConfig(SaveConfigCallback):
    """Save the configuration into the run's folder and to W&B.

    Lightning's callback saves it beside all runs and then stops the second one.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def save_config(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Write ``config.yaml``; runs in the first process only.

        A training that goes on in its folder keeps the record of how it began, and those of each
        time it went on, ``config-resumed-N.yaml``.
        """
        del pl_module, stage
        folder = run_folder(trainer)
        path = next(name for name in _names(folder) if not name.exists())
        text = self.parser.dump(self.config, skip_none=False)
        write_text(text, path)
        if (logger := run_logger(trainer)) is not None:
            plain = yaml.safe_load(text)
            logger.log_hyperparams({"command": trainer.state.fn, "folder": str(folder), **plain})
            logger.experiment.save(
                str(path.resolve()), base_path=str(folder.resolve()), policy="now"
            )


class RunRecord(Callback):
    """Verify the checkpoints, log them to W&B, and print the folders of the run."""

    def __init__(self) -> None:
        self._trained = False

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Let all processes of a run use the folder of the first."""
        del pl_module, stage
        if isinstance(trainer, LesionTrainer):
            trainer.identity = trainer.strategy.broadcast(trainer.identity)
        if isinstance(logger := run_logger(trainer), RunLogger):
            logger.version = trainer.strategy.broadcast(logger.version)

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Record that a training has begun."""
        del trainer, pl_module
        self._trained = True

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Verify the checkpoints, log them, and print its place and that of the maps.

        Raises:
            UsageError: If a checkpoint is damaged or not of this training.
        """
        del pl_module
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        if not self._trained:
            rank_zero_info(
                f"Nothing was left to train: {trainer.ckpt_path or 'the training'} is at epoch "
                f"{trainer.current_epoch} and step {trainer.global_step}, and was to end at "
                f"`trainer.max_epochs` {trainer.max_epochs} or `trainer.max_steps` "
                f"{trainer.max_steps}. To go on, raise them."
            )
            return
        folder = run_folder(trainer)
        keeper = next(c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint))
        verified = verify_checkpoints(folder / "checkpoints", keeper, trainer.global_step)
        best = keeper.best_model_path
        if (logger := run_logger(trainer)) is not None:
            log_models(trainer, logger, keeper)
        lines = [verified, f"Run folder: {folder}"]
        if best:
            lines.append(f"Best checkpoint: {os.path.relpath(best)}")
        maps = sorted((folder / "maps").glob("step-*"))
        if maps:
            lines.append(f"Attention and TMME maps: {maps[-1]}{Path('/')}{{attention,tmme,cases}}")
        rank_zero_info("\n".join(lines))

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Print the command that sends an offline run to W&B."""
        del pl_module, stage
        logger = run_logger(trainer)
        if isinstance(logger, RunLogger) and trainer.is_global_zero and logger.sync_command:
            rank_zero_info(f"To send this run to W&B: wandb login, then {logger.sync_command}")


def _names(folder: Path) -> Iterator[Path]:
    yield folder / "config.yaml"
    for number in count(1):
        yield folder / f"config-resumed-{number}.yaml"
