"""The command `vitatt doctor`."""

from __future__ import annotations

from pathlib import Path

from vitatt.callbacks.wandb_state import wandb_state
from vitatt.data.images.cache import default_folder
from vitatt.data.images.cache_check import check_caches
from vitatt.environment.machine import disk_line, machine_lines, temporary_folder
from vitatt.environment.versions import version_lines
from vitatt.paths import user_path
from vitatt.types import DataError

_SHOWN = 20


def doctor(*, cache_dir: str | None = None, runs: str = "runs") -> int:
    """Print versions, devices, disk, W&B and caches, for a bug report.

    Args:
        cache_dir: Folder of decoded images, as `data.cache_dir`.
        runs: Folder of the runs.

    Returns:
        1 if something is wrong, else 0.

    Raises:
        DataError: If `runs` is no name of a folder.
    """
    runs_folder = user_path(runs, "--runs")
    problems: list[str] = []
    try:
        cache = user_path(cache_dir, "--cache_dir") if cache_dir else None
        cache = cache or default_folder()
    except DataError as error:
        problems.append(str(error))
        cache = None
    _section("Versions", version_lines(problems))
    _section("Machine", machine_lines(problems))
    folders = {"cache": cache, "runs": runs_folder, "here": _here(), "TMPDIR": temporary_folder()}
    if folders["TMPDIR"] is None:
        problems.append("No temporary file can be written: set TMPDIR to a folder where they can.")
    _section(
        "Disk",
        [
            f"{name}: none" if place is None else disk_line(name, place, problems)
            for name, place in folders.items()
        ],
    )
    _section("W&B", _wandb_lines(runs_folder, problems))
    _section("Caches", _cache_lines(cache, problems))
    print(f"Problems: {len(problems)}")
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed; `disk_line` reports it
        return Path()


def _section(title: str, lines: list[str]) -> None:
    print(title)
    print("\n".join(f"  {line}" for line in lines), end="\n\n")


def _wandb_lines(runs: Path, problems: list[str]) -> list[str]:
    state = wandb_state(runs)
    if state.problem:
        problems.append(state.problem)
    login = f"logged in, by {state.login}" if state.login else "not logged in: runs are offline"
    lines = [f"mode: {state.mode or 'not set'}", f"server: {state.address}", login]
    lines.append(f"offline runs in {runs / 'wandb'} that were not sent: {len(state.waiting)}")
    if state.waiting:
        lines.append(f"to send them: wandb sync {runs / 'wandb'}/offline-run-*")
    return lines


def _cache_lines(folder: Path | None, problems: list[str]) -> list[str]:
    if folder is None:
        return ["no folder"]
    try:
        found = check_caches(folder)
    except OSError as error:
        problems.append(f"The cache folder {folder} cannot be read: {error.strerror or error}.")
        return [problems[-1]]
    if not found:
        return [f"none in {folder}"]
    wrong = [one for one in found if not one.ok]
    problems += [f"The cache file {folder / one.name} {one.state}." for one in wrong]
    total = sum(one.size for one in found)
    lines = [f"{folder}: {total / 1e9:.2f} GB in {len(found)} files"]
    shown = [*wrong, *(one for one in found if one.ok)][:_SHOWN]
    lines += [
        f"{'' if one.ok else 'wrong: '}{one.name} ({one.size / 1e6:.1f} MB): {one.state}"
        for one in shown
    ]
    return [*lines, *([f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])]
