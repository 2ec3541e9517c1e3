"""How a training is put together from a configuration, by LightningCLI."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from vitatt.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from vitatt.callbacks.confusion import ConfusionMatrixFigure
from vitatt.callbacks.divergence import StopAtDivergence
from vitatt.callbacks.explanation_metrics import ExplanationMetrics
from vitatt.callbacks.explanations import ExplanationPanel
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.callbacks.interruption import SaveOnInterrupt
from vitatt.callbacks.requeue import requeued_checkpoint
from vitatt.callbacks.run_config import RunConfig, RunRecord
from vitatt.callbacks.run_folder import claim_run_folder, run_folder
from vitatt.callbacks.stopping import StopEarly
from vitatt.callbacks.testing import TestReport
from vitatt.callbacks.trainer import LesionTrainer
from vitatt.config_files import check_config_files
from vitatt.data.datamodule import LesionDataModule
from vitatt.files import check_writable
from vitatt.models.checkpoint import (
    check_weights,
    find_checkpoint,
    read_callback,
    read_hyper_parameters,
    read_position,
)
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.metrics import check_monitor
from vitatt.paths import user_path
from vitatt.ranges import check_ranges
from vitatt.resuming import check_strategy, continue_run, runs_of, warn_of_ignored
from vitatt.types import LesionTask, UsageError

_SECTIONS: dict[str, Any] = {
    "data": LesionDataModule,
    "model": LesionClassifier,
    "explanations": ExplanationPanel,
    "explanation_tests": ExplanationMetrics,
    "token_cache": TokenCaching,
    "checkpoint": BestCheckpoint,
    "early_stopping": StopEarly,
}
"""Classes whose arguments users set, by section of the configuration."""


class TrainingCLI(LightningCLI):
    """Model, data and trainer from options and files, with the links and callbacks between them.

    Args:
        args: Command and options, or options alone without `run`; by default those of the shell.
        callbacks: What every run has beside the callbacks that users tune; by default all that
            `vitatt fit`, `test` and `predict` do.
        run: Run the command; else only make ``model``, ``datamodule`` and ``trainer``.
    """

    def __init__(
        self,
        args: Sequence[str] | None,
        *,
        callbacks: Sequence[Callback] | None = None,
        run: bool = True,
    ) -> None:
        super().__init__(
            LesionClassifier,
            LesionDataModule,
            trainer_class=LesionTrainer,
            save_config_callback=RunConfig,
            seed_everything_default=0,
            trainer_defaults={
                "logger": {"class_path": "vitatt.callbacks.tracking.RunLogger"},
                "callbacks": _usual_callbacks() if callbacks is None else list(callbacks),
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,  # our loaders know their share of the cases
            },
            parser_kwargs={"prog": "vitatt"},
            auto_configure_optimizers=False,
            args=args if args is None else list(args),
            run=run,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link model to data, and add the callbacks that users tune."""
        parser.link_arguments(
            "data.task", "model.task", compute_fn=LesionTask.to_plain, apply_on="instantiate"
        )
        for section in list(_SECTIONS)[2:]:
            parser.add_lightning_class_args(_SECTIONS[section], section)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, then let a checkpoint say what it was trained on.

        Raises:
            UsageError: If a configuration file cannot be read, a number is out of its range, or a
                checkpoint is needed and not given, or cannot be used.
        """
        check_config_files(sys.argv[1:] if args is None else list(args))
        super().parse_arguments(parser, args)
        command = self.config.get("subcommand")
        config = self.config if command is None else self.config[command]
        _check_numbers(config)
        if command is None:
            return  # what is only made begins anew
        runs = runs_of(config.trainer)
        path = config.get("ckpt_path")
        if path is None and command == "fit" and (path := requeued_checkpoint(runs)):
            rank_zero_info(f"This SLURM job was queued again: it goes on from {path}")
        if path is None:
            if command != "fit":
                raise UsageError(f"`vitatt {command}` needs a trained model: --ckpt_path FILE.")
            return
        path = str(find_checkpoint(path, runs, prefer="last" if command == "fit" else "best"))
        config.ckpt_path = path
        saved = read_hyper_parameters(path)
        config.data.task = saved["task"]
        task = LesionTask.from_plain(saved["task"])
        fitted = {
            "features": [feature.name for feature in task.features],
            "smoothing": task.smoothing,
            "image_size": task.image_size,
        }
        warn_of_ignored("data", config.data, fitted)
        if command == "fit":
            check_strategy(config.trainer.strategy, path)
            warn_of_ignored("model", config.model, saved)
            continue_run(config.trainer.logger, Path(path))

    def before_fit(self) -> None:
        """Look at everything that a training needs before its W&B run begins.

        Raises:
            UsageError: If data, checkpoint, metrics or the run's folder cannot be used.
        """
        for callback in self.trainer.callbacks:
            for kind, setting in (
                (BestCheckpoint, "checkpoint.monitor"),
                (StopEarly, "early_stopping.monitor"),
            ):
                if isinstance(callback, kind):
                    check_monitor(callback.monitor, self.model.task.classes, setting)
            if isinstance(callback, BestCheckpoint) and (path := self.config.fit.ckpt_path):
                callback.require_same_monitor(read_callback(path, callback.state_key))
        self._check("fit")

    def before_validate(self) -> None:
        """The same for `vitatt validate`."""
        self._check("validate")

    def before_test(self) -> None:
        """The same for `vitatt test`."""
        self._check("test")

    def before_predict(self) -> None:
        """The same for `vitatt predict`, whose output must be writable as well."""
        if rank_zero_only.rank == 0:
            check_writable(user_path(self.config.predict.output, "--output"))
        self._check("predict")

    def _check(self, command: str) -> None:
        """Read the data, compare the checkpoint with the model, and claim the run's folder."""
        self.datamodule.setup(command)
        path = self.config[command].get("ckpt_path")
        if path is not None:
            check_weights(path, self.model, resumes=command == "fit")
        if path is not None and command == "fit":
            processes = self.trainer.num_devices * self.trainer.num_nodes
            self.datamodule.require_same_batches(read_position(path), processes)
        resumed = Path(path).resolve() if path and command == "fit" else None
        if resumed is not None and not self.trainer.loggers:  # else the logger has the folder
            run = resumed.parent.parent
            if run.parent == run_folder(self.trainer).parent.resolve():
                self.trainer.identity = run.name
        if rank_zero_only.rank == 0 and not self.trainer.fast_dev_run:
            claim_run_folder(self.trainer, resumed)


def _usual_callbacks() -> list[Callback]:
    return [
        StopAtDivergence(),  # before all that would save or draw what it finds
        ConfusionMatrixFigure(),
        TestReport(),
        SaveOnInterrupt(),
        RunRecord(),
        LastCheckpoint(),
    ]


def _check_numbers(config: Namespace) -> None:
    """Look at the range of every number, before data are read.

    Raises:
        UsageError: If one is out of its range.
    """
    for name in ("max_epochs", "max_steps"):
        if config.trainer.get(name) == 0:
            raise UsageError(f"Expected `trainer.{name}` to be at least 1, or -1 for no limit.")
    for section, kind in _SECTIONS.items():
        check_ranges(kind.ranges, config[section].as_dict(), section)
    fusion = config.model.get("fusion")
    if isinstance(fusion, Namespace) and fusion.get("init_args") is not None:
        check_ranges(LesionNetwork.ranges, fusion.init_args.as_dict(), "model.fusion.init_args")
