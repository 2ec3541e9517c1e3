"""Trainings from a configuration, by LightningCLI."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from vitatt.callbacks.calibration import Calibration
from vitatt.callbacks.charts import ClassificationCharts
from vitatt.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from vitatt.callbacks.divergence import StopAtDivergence
from vitatt.callbacks.explanation_metrics import ExplanationMetrics
from vitatt.callbacks.explanations import ExplanationPanel
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.callbacks.interruption import SaveOnInterrupt
from vitatt.callbacks.optimization import OptimizationRecord
from vitatt.callbacks.requeue import requeued_checkpoint
from vitatt.callbacks.run_config import RunConfig, RunRecord
from vitatt.callbacks.run_folder import claim_run_folder, run_folder
from vitatt.callbacks.shared_folder import share_folder
from vitatt.callbacks.stopping import StopEarly
from vitatt.callbacks.testing import TestReport
from vitatt.callbacks.throughput import Throughput
from vitatt.callbacks.trainer import LesionTrainer
from vitatt.callbacks.wandb_checkpoint import local_checkpoint
from vitatt.callbacks.workspace import Workspace
from vitatt.config_files import check_config_files
from vitatt.data.datamodule import LesionDataModule
from vitatt.models.checkpoint import check_weights, read_callback, read_position
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion.configuration import PARSER_MODE, with_class_paths
from vitatt.models.fusion.naming import class_of, class_path, plain_fusion
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.metrics import check_monitor
from vitatt.ranges import check_ranges
from vitatt.resuming import check_strategy, continue_run, runs_of, warn_of_ignored
from vitatt.types import LesionTask, UsageError

SECTIONS: dict[str, Any] = {
    "data": LesionDataModule,
    "model": LesionClassifier,
    "explanations": ExplanationPanel,
    "explanation_tests": ExplanationMetrics,
    "token_cache": TokenCaching,
    "checkpoint": BestCheckpoint,
    "early_stopping": StopEarly,
}
"""Classes whose arguments are the sections of a configuration, by name of the section."""


class TrainingCLI(LightningCLI):
    """Model, data, trainer and callbacks from options and configuration files.

    Args:
        args: Command and options, or only options without `run`; by default those of the shell.
        callbacks: Callbacks in addition to the configurable ones; by default all of `vitatt fit`,
            `validate` and `test`.
        run: Run the command; else only create ``model``, ``datamodule`` and ``trainer``.
    """

    config: Namespace

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
                "use_distributed_sampler": False,  # the loaders divide the cases
            },
            parser_kwargs={"prog": "vitatt", "parser_mode": PARSER_MODE},
            auto_configure_optimizers=False,
            args=args if args is None else list(args),
            run=run,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the task of the model to that of the data, and add the configurable callbacks."""
        parser.link_arguments(
            "data.task", "model.task", compute_fn=LesionTask.to_plain, apply_on="instantiate"
        )
        for section in list(SECTIONS)[2:]:
            parser.add_lightning_class_args(SECTIONS[section], section)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse options and files; if there is a checkpoint, its task and model settings are used.

        Raises:
            UsageError: If a configuration file cannot be read, the network's name is not
                registered, a number is out of its range, or a checkpoint is needed and not given,
                or cannot be used.
        """
        words = sys.argv[1:] if args is None else list(args)
        check_config_files(words)
        super().parse_arguments(parser, with_class_paths(words))
        command = self.config.get("subcommand")
        config = self.config if command is None else self.config[command]
        _check_numbers(config)
        if command is None:
            return  # checkpoints are for commands only
        runs = runs_of(config.trainer)
        path = config.get("ckpt_path")
        if path is None and command == "fit" and (path := requeued_checkpoint(runs)):
            rank_zero_info(f"This SLURM job was queued again: it goes on from {path}")
        if path is None:
            if command != "fit":
                raise UsageError(f"`vitatt {command}` needs a trained model: --ckpt_path FILE.")
            return
        path = local_checkpoint(path, runs.parent)
        path = str(find_checkpoint(path, runs, prefer="last" if command == "fit" else "best"))
        config.ckpt_path = path
        model = self._saved_model(command, config, path)
        self.config = parser.parse_object({command: {"model": model}}, self.config)

    def instantiate_classes(self) -> None:
        """Create model, data and trainer, whose loggers all write into the run's one folder."""
        super().instantiate_classes()
        if self.trainer.loggers:
            share_folder(self.trainer.loggers, run_folder(self.trainer))

    def _saved_model(self, command: str, config: Namespace, path: str) -> dict[str, Any]:
        """Settings of a checkpoint's model, as in a configuration; its task goes to the data."""
        own = _own_fusion(config.model)
        saved = LesionClassifier.saved_settings(path, own)
        config.data.task = saved.pop("task")
        task = LesionTask.from_plain(config.data.task)
        fitted = {
            "features": [feature.name for feature in task.features],
            "smoothing": task.smoothing,
            "image_size": task.image_size,
        }
        warn_of_ignored("data", config.data.as_dict(), fitted)
        if command == "fit":
            check_strategy(config.trainer.strategy, path)
            asked = config.model.as_dict()
            warn_of_ignored("model", {**asked, "fusion": plain_fusion(asked["fusion"])}, saved)
            continue_run(config.trainer.logger, Path(path))
        network = class_of(saved["fusion"]["name"], own)
        assert network is not None, "saved_settings has checked it"
        fusion = {"class_path": class_path(network), "init_args": saved["fusion"]["init_args"]}
        return {**saved, "fusion": fusion}

    def _parse_ckpt_path(self) -> None:
        """Do nothing, because `parse_arguments` has read and checked the checkpoint's settings.

        Lightning would import any class that the file names.
        """

    def before_fit(self) -> None:
        """Check everything that a training needs before its W&B run begins.

        Raises:
            UsageError: If data, checkpoint, metrics or the run's folder cannot be used.
        """
        for callback in self.trainer.callbacks:
            for kind, setting in (
                (BestCheckpoint, "checkpoint.monitor"),
                (StopEarly, "early_stopping.monitor"),
            ):
                if isinstance(callback, kind) and callback.monitor is not None:
                    check_monitor(callback.monitor, self.model.task, setting)
            if isinstance(callback, BestCheckpoint) and (path := self.config.fit.ckpt_path):
                callback.require_same_monitor(read_callback(path, callback.state_key))
        self._check("fit")

    def before_validate(self) -> None:
        """Check everything that `vitatt validate` needs."""
        self._check("validate")

    def before_test(self) -> None:
        """Check everything that `vitatt test` needs."""
        self._check("test")

    def _check(self, command: str) -> None:
        """Read the data, check that the checkpoint fits the model, and claim the run's folder."""
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
        StopAtDivergence(),  # before callbacks that save or plot
        Workspace(),  # before callbacks that log
        Calibration(),
        TestReport(),
        ClassificationCharts(),
        OptimizationRecord(),
        Throughput(),
        SaveOnInterrupt(),
        RunRecord(),
        LastCheckpoint(),
    ]


def _own_fusion(settings: Namespace) -> type[LesionNetwork] | None:
    """The network class that the user names by its import path, or None; parsing imported it."""
    fusion = settings.get("fusion")
    if not isinstance(fusion, Namespace):
        return None
    module, _, name = str(fusion.class_path).rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, LesionNetwork) else None


def _check_numbers(config: Namespace) -> None:
    """Check the range of every number, before data are read.

    Raises:
        UsageError: If one is out of its range.
    """
    for name in ("max_epochs", "max_steps"):
        if config.trainer.get(name) == 0:
            raise UsageError(f"Expected `trainer.{name}` to be at least 1, or -1 for no limit.")
    for section, kind in SECTIONS.items():
        check_ranges(kind.ranges, config[section].as_dict(), section)
    fusion = config.model.get("fusion")
    if isinstance(fusion, Namespace) and fusion.get("init_args") is not None:
        check_ranges(LesionNetwork.ranges, fusion.init_args.as_dict(), "model.fusion.init_args")
