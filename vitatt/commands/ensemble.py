"""ensemble: probabilities of new cases by several models, averaged, into a CSV file."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser

from vitatt.callbacks.predictions import write_published
from vitatt.commands.checkpoint import RUNS, load_model
from vitatt.commands.parsing import add_data_arguments
from vitatt.files import check_writable
from vitatt.models.checkpoint import find_checkpoint, read_hyper_parameters
from vitatt.paths import user_path
from vitatt.studies.batches import batches_on_device
from vitatt.types import LesionTask, UsageError


def ensemble(options: list[str]) -> int:
    """Predict with each model as it was trained, and write the mean of the probabilities."""
    parser, settings, paths, tasks = _parse(options)
    output = user_path(str(settings.output), "--output")
    check_writable(output)
    for path in paths:  # what cannot be loaded is found before any case is predicted
        load_model(path)
    sums: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    for number, (path, task) in enumerate(zip(paths, tasks, strict=True), start=1):
        settings.data.task = task.to_plain()
        for name, value in dataclasses.asdict(task.fold_spec).items():
            settings.data[name] = value
        data = parser.instantiate_classes(settings).data
        model = load_model(path)
        cases, what = data.cases("predict"), f"model {number} of {len(paths)}"
        with torch.inference_mode():
            for batch in batches_on_device(model, data, "predict", cases, what):
                rows = model(batch).logits.double().softmax(-1).cpu().numpy()
                for case_id, row in zip(batch.case_id, rows, strict=True):
                    sums[case_id] = sums.get(case_id, 0.0) + row
    means = {case_id: (total / len(paths)).tolist() for case_id, total in sums.items()}
    write_published(data, means, output)
    print(f"Wrote {len(means)} cases, the mean of {len(paths)} models, to {output}")
    return 0


def _parse(options: list[str]) -> tuple[ArgumentParser, Any, list[str], list[LesionTask]]:
    """Parser, settings, checkpoints and the task of each.

    Raises:
        UsageError: If a checkpoint cannot be used, or they are not of the same data.
    """
    early = argparse.ArgumentParser(prog="vitatt ensemble", add_help=False, allow_abbrev=False)
    early.add_argument("--ckpt_paths", nargs="+")
    paths = early.parse_known_args(options)[0].ckpt_paths
    parser = ArgumentParser(prog="vitatt ensemble", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--ckpt_paths", type=str, nargs="+", required=True, help="trained models")
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")
    add_data_arguments(parser)
    if paths is None:  # they may be in the configuration
        paths = parser.parse_args(options).ckpt_paths
    paths = [str(find_checkpoint(path, RUNS)) for path in paths]
    tasks = [LesionTask.from_plain(read_hyper_parameters(path)["task"]) for path in paths]
    _check_alike(paths, tasks)
    parser.set_defaults({"data.dataset": tasks[0].dataset})
    return parser, parser.parse_args(options), paths, tasks


def _check_alike(paths: list[str], tasks: list[LesionTask]) -> None:
    """Models whose probabilities can be averaged.

    Raises:
        UsageError: If they are of other data or classes.
    """
    for path, task in zip(paths, tasks, strict=True):
        if (task.dataset, task.classes) != (tasks[0].dataset, tasks[0].classes):
            raise UsageError(
                f"Expected models of one dataset, but {paths[0]} is of {tasks[0].dataset} and "
                f"{path} of {task.dataset}."
            )
