"""Runs the cells: one after another here, or side by side on a Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vitatt.benchmark.cell import run_cell
from vitatt.benchmark.plan import Benchmark, Cell
from vitatt.types import UsageError


def run_all(
    benchmark: Benchmark, *, workers: int | None = None, ray_address: str | None = None
) -> None:
    """Run every cell that is not finished.

    A cell that fails does not stop the others; what is finished stays, whatever ends the process.

    Args:
        benchmark: What to run.
        workers: Cells at a time in processes of this machine, by Ray; None for one after another
            in this process.
        ray_address: A Ray cluster to run on instead, as many at a time as it has room for.

    Raises:
        UsageError: If cells failed, with the first reason; or Ray is asked for and not installed.
    """
    cells = list(benchmark.cells())
    todo = [cell for cell in cells if not cell.finished]
    if not todo:
        return
    failed: dict[str, Exception] = {}
    outcomes = (
        _one_by_one(todo)
        if workers is None and ray_address is None
        else _by_ray(todo, workers, ray_address)
    )
    with tqdm(total=len(cells), initial=len(cells) - len(todo), unit="training") as progress:
        for cell, error in outcomes:
            progress.set_postfix_str(cell.name)
            progress.update(1)
            if error is not None:
                failed[cell.name] = error
                progress.write(f"{cell.name} failed: {_described(error)}")
    if failed:
        name, error = next(iter(failed.items()))
        raise UsageError(
            f"{len(failed)} of {len(cells)} trainings failed, the first being {name}: "
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
            "Running cells side by side needs Ray: pip install 'vitatt[ray]', or leave out "
            "--workers and --ray_address."
        )


def _reason(error: Exception) -> str:
    """A mistake of the user's in its own words, and any other with its type."""
    cause = _cause(error)
    return str(cause) if isinstance(cause, UsageError) else repr(cause)


def _cause(error: Exception) -> Any:
    return getattr(error, "cause", error)  # Ray's error has the worker's own


def _described(error: Exception) -> str:
    """A mistake of the user's in its own words, and any other with its traceback."""
    if isinstance(_cause(error), UsageError):
        return _reason(error)
    return "".join(traceback.format_exception(error)).rstrip()


Outcome = tuple[Cell, Exception | None]


def _one_by_one(cells: Sequence[Cell]) -> Iterator[Outcome]:
    for cell in cells:
        try:
            run_cell(cell)
        except Exception as error:  # reported with the others, when all have had their turn
            yield cell, error
        else:
            yield cell, None


def _by_ray(cells: Sequence[Cell], workers: int | None, address: str | None) -> Iterator[Outcome]:
    require_ray()
    import ray

    threads = cells[0].benchmark.threads
    local: dict[str, Any] = {} if address else {"num_cpus": (workers or 1) * threads}
    ray.init(address=address, include_dashboard=False, log_to_driver=False, **local)
    try:
        gpus = 1 if torch.cuda.is_available() else 0
        work = ray.remote(num_cpus=threads, num_gpus=gpus)(_run_in)
        waiting = {work.remote(str(Path.cwd()), cell): cell for cell in cells}
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done[0])
            try:
                ray.get(done[0])
            except Exception as error:  # as above; Ray wraps the worker's own
                yield cell, error
            else:
                yield cell, None
    finally:
        ray.shutdown()


def _run_in(folder: str, cell: Cell) -> float:
    """A cell in a worker, which Ray may have started elsewhere."""
    os.chdir(folder)
    return run_cell(cell)
