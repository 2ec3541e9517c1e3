"""One cell of a benchmark: trained, predicted, and on disk whole or not at all."""

from __future__ import annotations

import gc
import json
import os
import secrets
import shutil
import time

import polars as pl
import torch

from vitatt.benchmark.classical import predict_classically
from vitatt.benchmark.plan import Cell
from vitatt.benchmark.training import NetworkTraining, quiet
from vitatt.callbacks.tracking import closing_run, run_logger
from vitatt.data.datamodule import Part
from vitatt.data.leaks import check_encoding
from vitatt.evaluation.summary import summarise
from vitatt.files import write_frame, write_text

PREDICTED: tuple[Part, ...] = ("val", "test")


def run_cell(cell: Cell) -> float:
    """Train and predict; a cell that is finished is left as it is.

    Its folder appears when everything in it is written, so that a process may die at any moment.

    Returns:
        Seconds it took.

    Raises:
        UsageError: If the training cannot be done as configured, or its metadata encoding was not
            fitted on its own training rows.
    """
    if cell.finished:
        return 0.0
    gc.collect()  # model, trainer and data of the cell before know one another
    start = time.monotonic()
    torch.set_num_threads(cell.benchmark.threads)
    # Workers on two machines may have one process number.
    name = f".{cell.folder.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    folder = cell.folder.with_name(name)
    folder.mkdir(parents=True)
    arm = cell.benchmark.arms[cell.arm]
    # One W&B run a cell, whatever it trains.
    options = [
        *cell.options(arm.first_stage),
        "--trainer.logger=vitatt.callbacks.tracking.RunLogger",
        f"--trainer.logger.init_args.save_dir={cell.benchmark.output / 'runs'}",
        f"--trainer.logger.init_args.group={cell.benchmark.output.name}",
        f"--trainer.logger.init_args.name={cell.name}",
    ]
    with closing_run(), quiet():
        training = NetworkTraining(options)
        data = training.datamodule.cases
        check_encoding(data.task, data.part("train"), data.chosen, data.num_bins)
        if arm.classical is None:
            training.fit()
            frames = {part: training.predict(part) for part in PREDICTED}
            if cell.arm in cell.benchmark.keep:
                training.trainer.save_checkpoint(folder / "best.ckpt", weights_only=True)
        else:
            frames = predict_classically(cell, training)
        _log(training, frames["test"])
    seconds = time.monotonic() - start
    for part, frame in frames.items():
        write_frame(frame, folder / f"{part}.parquet")
    write_text(json.dumps({"seconds": round(seconds, 1)}), folder / "cell.json")
    try:
        folder.rename(cell.folder)
    except OSError:  # another worker was faster: its predictions are the same
        if not cell.finished:
            raise
        shutil.rmtree(folder)
    return seconds


def _log(training: NetworkTraining, test: pl.DataFrame) -> None:
    logger = run_logger(training.trainer)
    if logger is None:
        return
    task = training.datamodule.task
    summary = summarise(test, task.classes, [feature.name for feature in task.features])
    logger.log_metrics(summary.figures())
