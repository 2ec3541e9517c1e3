"""The record of a run: its configuration, its best checkpoint, and where everything is."""

from __future__ import annotations

import os
from pathlib import Path

import lightning
import wandb
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from vitatt.callbacks.tracking import RunLogger, run_folder, run_logger


class RunConfig(SaveConfigCallback):
    """Saves the configuration into the run's own folder and to W&B.

    Lightning's callback saves it beside all runs and then stops the second one.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "save_to_log_dir": False})

    def save_config(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Write ``config.yaml``; runs in the first process only."""
        del pl_module, stage
        if trainer.logger is None:
            return
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        # A training that goes on in its folder keeps the record of how it began.
        path = folder / ("config-resumed.yaml" if trainer.ckpt_path else "config.yaml")
        self.parser.save(self.config, path, skip_none=False, overwrite=True)
        if (logger := run_logger(trainer)) is not None:
            plain = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
            logger.log_hyperparams({"command": trainer.state.fn, "folder": str(folder), **plain})
            logger.experiment.save(
                str(path.resolve()), base_path=str(folder.resolve()), policy="now"
            )


class RunRecord(Callback):
    """Keeps the best checkpoint in W&B and says at the end where everything is."""

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Let all processes of a run use the folder of the first."""
        del pl_module, stage
        if isinstance(logger := run_logger(trainer), RunLogger):
            logger.version = trainer.strategy.broadcast(logger.version)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the best checkpoint; say where it and the maps are."""
        del pl_module
        if not trainer.is_global_zero:
            return
        best = next(
            (
                callback.best_model_path
                for callback in trainer.checkpoint_callbacks
                if isinstance(callback, ModelCheckpoint) and callback.monitor
            ),
            "",
        )
        logger = run_logger(trainer)
        if best and logger is not None:
            artifact = wandb.Artifact(f"model-{logger.version}", type="model")
            artifact.add_file(best, name="best.ckpt")
            logger.experiment.log_artifact(artifact, aliases=["best"])
        lines = [f"Run folder: {run_folder(trainer)}"]
        if best:
            lines.append(f"Best checkpoint: {os.path.relpath(best)}")
        maps = sorted((run_folder(trainer) / "maps").glob("step-*"))
        if maps:
            lines.append(f"Attention and TMME maps: {maps[-1]}{Path('/')}{{attention,tmme,cases}}")
        rank_zero_info("\n".join(lines))

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Say how an offline run gets to W&B."""
        del pl_module, stage
        logger = run_logger(trainer)
        if isinstance(logger, RunLogger) and trainer.is_global_zero and logger.sync_command:
            rank_zero_info(f"To send this run to W&B: wandb login, then {logger.sync_command}")
