"""How a training is put together from a configuration, by LightningCLI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_warn

from vitatt.callbacks.confusion import ConfusionPicture
from vitatt.callbacks.explanation_figures import ExplanationFigures
from vitatt.callbacks.explanations import ExplanationPanel
from vitatt.callbacks.frozen_encoder import TokenCaching
from vitatt.callbacks.interruption import SaveOnInterrupt
from vitatt.callbacks.run_config import RunConfig, RunRecord
from vitatt.callbacks.testing import TestReport
from vitatt.callbacks.trainer import LesionTrainer
from vitatt.data.datamodule import LesionDataModule
from vitatt.models.checkpoint import read_hyper_parameters, was_divided
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionTask, UsageError

SELECTION = "val/selection"
"""What early stopping and the best checkpoint go by, see `LesionMetrics`."""


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
        parser.add_lightning_class_args(ExplanationPanel, "explanations")
        parser.add_lightning_class_args(ExplanationFigures, "explanation_tests")
        parser.add_lightning_class_args(TokenCaching, "token_cache")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults(
            {
                "checkpoint.filename": "best",
                "checkpoint.monitor": SELECTION,
                "checkpoint.mode": "max",
                "checkpoint.enable_version_counter": False,
                "early_stopping.monitor": SELECTION,
                "early_stopping.mode": "max",
                "early_stopping.patience": 10,
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, then let a checkpoint say what it was trained on.

        Raises:
            UsageError: If a checkpoint is needed and not given, or cannot be used.
        """
        super().parse_arguments(parser, args)
        command = self.config.get("subcommand")
        if command is None:
            return  # what is only made begins anew
        config = self.config[command]
        path = config.get("ckpt_path")
        if path is None:
            if command != "fit":
                raise UsageError(f"`vitatt {command}` needs a trained model: --ckpt_path FILE.")
            return
        saved = read_hyper_parameters(path)
        config.data.task = saved["task"]
        task = LesionTask.from_plain(saved["task"])
        fitted = {
            "features": [feature.name for feature in task.features],
            "smoothing": task.smoothing,
            "image_size": task.image_size,
        }
        _warn_of_ignored("data", config.data, fitted)
        if command == "fit":
            _check_strategy(config.trainer.strategy, path)
            _warn_of_ignored("model", config.model, saved)
            _continue_run(config.trainer.logger, Path(path))


def _usual_callbacks() -> list[Callback]:
    return [
        ConfusionPicture(),
        TestReport(),
        SaveOnInterrupt(),
        RunRecord(),
        # Every validation run, so that a killed training loses little.
        ModelCheckpoint(filename="last", enable_version_counter=False),
    ]


def _continue_run(logger: Any, checkpoint: Path) -> None:
    """Let a resumed training go on in its own run, if the checkpoint lies in a run's folder."""
    run = checkpoint.resolve().parent.parent
    if not isinstance(logger, Namespace) or not logger.class_path.endswith("RunLogger"):
        return
    runs = Path(logger.init_args.save_dir) / logger.init_args.project
    if run.parent == runs.resolve() and logger.init_args.version is None:
        logger.init_args.version = run.name


def _check_strategy(strategy: Any, checkpoint: str) -> None:
    """A training goes on divided among processes, or not, as it was.

    Raises:
        UsageError: If it would not.
    """
    name = strategy.class_path if isinstance(strategy, Namespace) else str(strategy)
    if name.endswith("ModelParallelStrategy") != (before := was_divided(checkpoint)):
        raise UsageError(
            f"The training of {checkpoint} was {'' if before else 'not '}divided among processes, "
            f"and its optimizer's state cannot be read by the strategy {name}: "
            f"{'add' if before else 'leave out'} `--config conf/hardware/sharded.yaml`."
        )


def _warn_of_ignored(section: str, settings: Namespace, saved: dict[str, Any]) -> None:
    """What a checkpoint was made with counts; say so where something else is asked for."""
    asked = settings.as_dict()
    for name in sorted(asked.keys() & saved.keys() - {"task", "encoder_weights"}):
        if name == "features" and isinstance(asked[name], str):
            continue  # `all`, or hc-K: the training rows said which
        if asked[name] != saved[name]:
            rank_zero_warn(
                f"The checkpoint's `{section}.{name}` is kept: {saved[name]}, not {asked[name]}."
            )
