"""One job of a benchmark: training and predictions, written completely or not at all."""

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
from vitatt.benchmark.plan import Job
from vitatt.benchmark.training import NetworkTraining, quiet
from vitatt.callbacks.calibration import calibrate
from vitatt.callbacks.testing import log_summary
from vitatt.callbacks.tracking import closing_run
from vitatt.data.checks.leaks import check_encoding
from vitatt.data.datamodule import SplitName
from vitatt.evaluation.out_of_fold import arrays
from vitatt.evaluation.summary import summarise
from vitatt.files import write_frame, write_text

PREDICTED: tuple[SplitName, ...] = ("val", "test")


def run_job(job: Job) -> float:
    """Train and predict; a job that is finished is left as it is.

    Its folder appears when everything in it is written, so that a process may die at any moment.

    Returns:
        Seconds it took.

    Raises:
        UsageError: If the training cannot be done as configured, or its metadata encoding was not
            fitted on its own training rows.
    """
    if job.finished:
        return 0.0
    gc.collect()  # model, trainer and data of the job before are in reference cycles
    start = time.monotonic()
    torch.set_num_threads(job.benchmark.threads)
    # Workers on two machines may have the same process number.
    name = f".{job.folder.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
    folder = job.folder.with_name(name)
    folder.mkdir(parents=True)
    arm = job.benchmark.arms[job.arm]
    # One W&B run for each job, however many models it trains.
    options = [
        *job.options(arm.first_stage),
        "--trainer.logger=vitatt.callbacks.tracking.RunLogger",
        f"--trainer.logger.init_args.save_dir={job.benchmark.output / 'runs'}",
        f"--trainer.logger.init_args.group={job.benchmark.output.name}",
        f"--trainer.logger.init_args.name={job.name}",
    ]
    with closing_run(), quiet():
        training = NetworkTraining(options)
        data = training.datamodule.fold_data
        check_encoding(data.task, data.cases("train"), data.chosen, data.num_bins)
        if arm.classical is None:
            training.fit()
            frames = {split: training.predict(split) for split in PREDICTED}
            if job.arm in job.benchmark.keep:
                calibrate(training.model, *arrays(frames["val"], data.task.classes)[:2])
                training.trainer.save_checkpoint(folder / "best.ckpt", weights_only=True)
        else:
            frames = predict_classically(job, training)
        _log(training, frames["test"])
    seconds = time.monotonic() - start
    for split, frame in frames.items():
        write_frame(frame, folder / f"{split}.parquet")
    write_text(json.dumps({"seconds": round(seconds, 1)}), folder / "job.json")
    try:
        folder.rename(job.folder)
    except OSError:  # another worker was faster: its predictions are the same
        if not job.finished:
            raise
        shutil.rmtree(folder)
    return seconds


def _log(training: NetworkTraining, test: pl.DataFrame) -> None:
    task = training.datamodule.task
    summary = summarise(
        test,
        task.classes,
        [feature.name for feature in task.features],
        positive=training.datamodule.spec.positive_class,
    )
    log_summary(training.trainer, summary)
