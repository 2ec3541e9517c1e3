"""The command `vitatt predict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from vitatt.callbacks.predictions import write_published
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.metadata.encoding import EncodedMetadata, encode
from vitatt.files import check_writable, write_frame
from vitatt.inference import Predictor
from vitatt.options import CALLED_FROM_PYTHON, NO_DATA_SETTINGS, CommandLine, DataSettings
from vitatt.paths import user_path
from vitatt.reading import read_yaml
from vitatt.studies.inputs import datamodule_of_task
from vitatt.types import DataError, LesionBatch, LesionTask, UsageError
from vitatt.words import did_you_mean

_DEVICES = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "auto": None}
"""PyTorch's devices by Lightning's accelerators; None for the GPU if there is one."""


def predict(
    *,
    ckpt_path: Sequence[str] | str,
    output: str,
    data: DataSettings = NO_DATA_SETTINGS,
    command_line: CommandLine = CALLED_FROM_PYTHON,
) -> int:
    """Predict new cases, those of data.predict_root, into a CSV file.

    It has the published columns: the id of each case and a probability for each class. Cases
    without a readable image are in a second file, NAME.left_out.csv, with the reason. Of the
    options of trainings, only trainer.accelerator has an effect: cpu, gpu or auto.

    Args:
        ckpt_path: The trained model; its file, the folder of its run or of its export, or `best` or
            `last`. The mean of several models of one dataset is predicted.
        output: CSV file to write.
        data: Arguments of `LesionDataModule`; dataset and task are the checkpoint's.
        command_line: Of a call from a shell.

    Returns:
        0.

    Raises:
        UsageError: If the file exists or cannot be written, there is no usable checkpoint, models
            are of different datasets, or there is no such accelerator.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    if rank_zero_only.rank:  # started several times, as by torchrun: the first process does it all
        return 0
    path = user_path(output, "--output")
    check_writable(path)
    others = path.with_name(f"{path.stem}.left_out.csv")
    check_writable(others)
    predictor = Predictor.load(ckpt_path, device=_device(command_line))
    models = predictor.ensemble.models
    tasks = [model.task for model in models]
    modules: dict[int, LesionDataModule] = {}
    for model in models:
        if model.task.image_size not in modules:
            modules[model.task.image_size] = datamodule_of_task(model.task, data)
    for model in models:
        _check_columns(modules[model.task.image_size], model.task, str(model.path))
    found: dict[str, list[float]] = {}
    for batches in _batches(modules, tasks):
        rows = predictor.ensemble.probabilities(batches).tolist()
        found |= dict(zip(batches[0].case_id, rows, strict=True))
    write_published(modules[tasks[0].image_size], found, path)
    mean = f", the mean of {len(models)} models," if len(models) > 1 else ""
    print(f"Wrote the probabilities of {len(found)} cases{mean} to {path}")
    if left_out := modules[tasks[0].image_size].unlabelled.left_out():
        reasons = {"case_id": list(left_out), "reason": list(left_out.values())}
        write_frame(pl.DataFrame(reasons), others)
        name, reason = next(iter(left_out.items()))
        print(f"{len(left_out)} other cases are in {others}, with the reason: {name}: {reason}")
    return 0


def _check_columns(module: LesionDataModule, task: LesionTask, path: str) -> None:
    """See that the table has what a model reads; the module asked for what one of them does.

    Raises:
        DataError: If a column is not there.
    """
    table = module.unlabelled.table
    if absent := [one.name for one in task.features if one.name in table.lacking]:
        raise DataError(
            f"The table below {table.root} lacks the column{'s' if len(absent) > 1 else ''} "
            f"{', '.join(absent)}, which the model {path} reads. Add "
            f"{'them' if len(absent) > 1 else 'it'}, empty where the answer is not known."
        )


def _batches(
    modules: Mapping[int, LesionDataModule], tasks: Sequence[LesionTask]
) -> Iterator[list[LesionBatch]]:
    """All cases, a batch for each task at a time, with its image size and encoding.

    Args:
        modules: The data by image size.
        tasks: Of the models.
    """
    first = next(iter(modules.values()))
    cases, size = first.cases("predict"), first.batch_size
    encoded = {
        task: encode(cases, task.features, smoothing=task.smoothing)
        for task in tasks
        if task != modules[task.image_size].task
    }
    parts = [module.dataset_of("predict").batches(size) for module in modules.values()]
    with tqdm(total=cases.height, desc="predicting", unit="case") as bar:
        for number, batches in enumerate(zip(*parts, strict=True)):
            of_size = dict(zip(modules, batches, strict=True))
            rows = slice(number * size, (number + 1) * size)
            yield [_with(of_size[task.image_size], encoded.get(task), rows) for task in tasks]
            bar.update(len(batches[0].target))


def _with(batch: LesionBatch, metadata: EncodedMetadata | None, rows: slice) -> LesionBatch:
    """A batch with these rows of other metadata, if there are any."""
    if metadata is None:
        return batch
    return batch._replace(
        metadata=torch.from_numpy(metadata.soft_one_hot[rows]),
        missing=torch.from_numpy(metadata.missing[rows]),
    )


def _device(command_line: CommandLine) -> str | None:
    """PyTorch's device of ``trainer.accelerator``; None if it is not given or ``auto``."""
    settings: list[Any] = [read_yaml(path).get("trainer") for path in command_line.config_files]
    found = [one.get("accelerator") for one in settings if isinstance(one, dict)]
    option = "--trainer.accelerator="
    given = [word for word in command_line.training_options if word.startswith(option)]
    found = [*found, *(word.removeprefix(option) for word in given)]
    name = str(next((one for one in reversed(found) if one is not None), "auto"))
    if name not in _DEVICES:
        raise UsageError(
            f"Expected `trainer.accelerator` to be among {', '.join(_DEVICES)}, but got '{name}'."
            f"{did_you_mean(name, list(_DEVICES))}"
        )
    return _DEVICES[name]
