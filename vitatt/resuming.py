"""Resumed trainings: the folder of the run, and the settings that the checkpoint decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_warn

from vitatt.models.checkpoint import was_divided
from vitatt.types import UsageError


def runs_of(trainer: Namespace) -> Path:
    """Return the folder of the project's runs, from the logger settings of the trainer."""
    logger = _first(trainer.get("logger"))
    settings = logger.get("init_args") if isinstance(logger, Namespace) else None
    if settings is None or settings.get("save_dir") is None:
        return Path("runs") / "vitatt"
    name = settings.get("project") or settings.get("name") or "vitatt"
    return Path(settings.save_dir).expanduser() / name


def continue_run(logger: Any, checkpoint: Path) -> None:
    """Make a resumed training log to its own run, if the checkpoint lies in a run's folder."""
    run = checkpoint.resolve().parent.parent
    logger = _first(logger)
    if not isinstance(logger, Namespace) or not logger.class_path.endswith("RunLogger"):
        return
    runs = Path(logger.init_args.save_dir) / logger.init_args.project
    if run.parent == runs.resolve() and logger.init_args.version is None:
        logger.init_args.version = run.name


def check_strategy(strategy: Any, checkpoint: str) -> None:
    """Check that a resumed training is divided among processes if, and only if, it was before.

    `ModelParallelStrategy` stores the optimizer's state in another order than other strategies.

    Raises:
        UsageError: If only one of the checkpoint and the new strategy is divided.
    """
    name = strategy.class_path if isinstance(strategy, Namespace) else str(strategy)
    if name.endswith("ModelParallelStrategy") != (before := was_divided(checkpoint)):
        raise UsageError(
            f"The training of {checkpoint} was {'' if before else 'not '}divided among processes, "
            f"and its optimizer's state cannot be read by the strategy {name}: "
            f"{'add' if before else 'leave out'} `--config conf/hardware/sharded.yaml`."
        )


def warn_of_ignored(section: str, asked: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Warn of each setting that differs from the checkpoint's, which is the one that is used."""
    for name in sorted(asked.keys() & saved.keys() - {"task", "encoder_weights"}):
        if name == "features" and isinstance(asked[name], str):
            continue  # `all` or hc-K: the checkpoint has the features they stood for
        if asked[name] != saved[name]:
            rank_zero_warn(
                f"The checkpoint's `{section}.{name}` is kept: {saved[name]}, not {asked[name]}."
            )


def _first(logger: Any) -> Any:
    """The logger that names the run's folder, of one or several."""
    return logger[0] if isinstance(logger, list) and logger else logger
