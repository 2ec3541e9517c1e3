"""Checkpoints of a training as W&B artifacts, with the data that they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning
import wandb
from lightning.pytorch.loggers import WandbLogger

import vitatt
from vitatt.callbacks.artifact_files import add_in_place
from vitatt.callbacks.batches import datamodule_of
from vitatt.callbacks.checkpoints import BEST, LAST, BestCheckpoint, link_file
from vitatt.callbacks.run_folder import run_folder
from vitatt.files import write_text


def artifact_name(run: str) -> str:
    """Name of the artifact that holds the checkpoints of a run.

    Args:
        run: Name of the run's folder.
    """
    return f"model-{run}"


def log_models(trainer: lightning.Trainer, logger: WandbLogger, keeper: BestCheckpoint) -> None:
    """Log the last and the best checkpoint as versions of one artifact, and the data as its input.

    The aliases are ``last`` and ``best``. Each waits to be sent in W&B's folder of the run, as a
    second name of the file, which takes no room and stays what it is when a training that goes on
    finds a better one. W&B would copy it into the user's home instead.

    Args:
        trainer: Of the training that has ended.
        logger: Its W&B logger.
        keeper: Knows the best checkpoint.
    """
    run = logger.experiment
    if run.disabled:
        return
    folder = run_folder(trainer)
    facts = _data_facts(trainer)
    _use_data(run, facts)
    for name in (LAST, BEST):  # the later one is also W&B's ``latest``
        path = folder / "checkpoints" / name
        if not path.is_file() or (name == BEST and not keeper.best_model_path):
            continue
        waiting = Path(run.dir).parent / name
        link_file(path, waiting)
        scored = keeper.best if name == BEST else None
        metadata = {
            "vitatt": vitatt.__version__,
            "data": facts,
            "epoch": trainer.current_epoch - 1 if scored is None else scored.epoch,
            "step": trainer.global_step if scored is None else scored.step,
            **({} if scored is None or keeper.monitor is None else {keeper.monitor: scored.score}),
        }
        artifact = wandb.Artifact(artifact_name(folder.name), type="model", metadata=metadata)
        add_in_place(artifact, waiting, name)
        run.log_artifact(artifact, aliases=[Path(name).stem])


def _data_facts(trainer: lightning.Trainer) -> dict[str, Any]:
    """Facts of the data, equal for equal data; no case of it."""
    datamodule = datamodule_of(trainer)
    task = datamodule.task.to_plain()
    names = ("dataset", "classes", "class_counts", "views", "fold_spec")
    return {
        "digest": datamodule.task.seen,
        **{name: task[name] for name in names},
        "features": [feature.name for feature in datamodule.task.features],
    }


def _use_data(run: wandb.Run, facts: dict[str, Any]) -> None:
    """Declare the data as an input of the run: runs of the same data meet in W&B's lineage."""
    path = Path(run.dir).parent / "dataset.json"
    write_text(json.dumps(facts, indent=2, sort_keys=True), path)
    artifact = wandb.Artifact(f"data-{facts['dataset']}", type="dataset", metadata=facts)
    add_in_place(artifact, path, path.name)
    if run.offline:
        # `use_artifact` refuses offline runs, although the record that it makes can be sent later.
        run._log_artifact(artifact, use_after_commit=True)
    else:
        run.use_artifact(artifact)
