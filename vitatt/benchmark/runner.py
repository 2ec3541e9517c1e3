"""Run the jobs one after another in this process, or in parallel by Ray."""

from __future__ import annotations

import importlib.util
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vitatt.benchmark.job import run_job
from vitatt.benchmark.plan import Benchmark, Job
from vitatt.types import UsageError


def run_all(
    benchmark: Benchmark, *, workers: int | None = None, ray_address: str | None = None
) -> None:
    """Run every job that is not finished.

    A job that fails does not stop the others; what is finished stays, whatever ends the process.

    Args:
        benchmark: The plan.
        workers: Jobs at a time in processes of this machine, by Ray; None for one after another
            in this process.
        ray_address: A Ray cluster to run on instead, as many at a time as it has room for.

    Raises:
        UsageError: If jobs failed, with the first reason; or Ray is asked for and not installed.
    """
    jobs = list(benchmark.jobs())
    todo = [job for job in jobs if not job.finished]
    if not todo:
        return
    failed: dict[str, Exception] = {}
    outcomes = (
        _one_by_one(todo)
        if workers is None and ray_address is None
        else _by_ray(todo, workers, ray_address)
    )
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="training") as progress:
        for job, error in outcomes:
            progress.set_postfix_str(job.name)
            progress.update(1)
            if error is not None:
                failed[job.name] = error
                progress.write(f"{job.name} failed: {_described(error)}")
    if failed:
        name, error = next(iter(failed.items()))
        raise UsageError(
            f"{len(failed)} of {len(jobs)} trainings failed, the first being {name}: "
            f"{_reason(error)} Mend the cause and run the same command again: what is finished is "
            "kept."
        ) from error


def require_ray() -> None:
    """See that Ray is installed.

    Raises:
        UsageError: If it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "Running jobs side by side needs Ray: pip install 'vitatt[ray]', or leave out "
            "--workers and --ray_address."
        )


def _reason(error: Exception) -> str:
    """The message of a `UsageError`, and any other error with its type."""
    cause = _cause(error)
    return str(cause) if isinstance(cause, UsageError) else repr(cause)


def _cause(error: Exception) -> Any:
    return getattr(error, "cause", error)  # Ray's error has the worker's own


def _described(error: Exception) -> str:
    """The message of a `UsageError`, and any other error with its traceback."""
    if isinstance(_cause(error), UsageError):
        return _reason(error)
    return "".join(traceback.format_exception(error)).rstrip()


Outcome = tuple[Job, Exception | None]


def _one_by_one(jobs: Sequence[Job]) -> Iterator[Outcome]:
    for job in jobs:
        try:
            run_job(job)
        except Exception as error:  # noqa: BLE001 (reported with the others, after their turn)
            yield job, error
        else:
            yield job, None


def _by_ray(jobs: Sequence[Job], workers: int | None, address: str | None) -> Iterator[Outcome]:
    require_ray()
    import ray

    threads = jobs[0].benchmark.threads
    local: dict[str, Any] = {} if address else {"num_cpus": (workers or 1) * threads}
    ray.init(address=address, include_dashboard=False, log_to_driver=False, **local)
    try:
        gpus = 1 if torch.cuda.is_available() else 0
        work = ray.remote(num_cpus=threads, num_gpus=gpus)(_run_in)
        waiting = {work.remote(str(Path.cwd()), job): job for job in jobs}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(done[0])
            try:
                ray.get(done[0])
            except Exception as error:  # noqa: BLE001 (as above; Ray wraps the worker's own)
                yield job, error
            else:
                yield job, None
    finally:
        ray.shutdown()


def _run_in(folder: str, job: Job) -> float:
    """A job in a worker, which Ray may have started elsewhere."""
    os.chdir(folder)
    return run_job(job)
