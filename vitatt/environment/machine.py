"""Processor, memory, GPUs, disk, and the job of a cluster."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

import torch

_ROOM = 1e9
"""Free bytes below which a disk counts as full."""

_JOB = (
    "SLURM_JOB_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_NNODES",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_CPUS_PER_TASK",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)


def machine_lines(problems: list[str]) -> list[str]:
    """Processor, memory, GPUs and job.

    Args:
        problems: Problems found so far; those of the GPUs are appended.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        f"CPU: {_processor()}, {usable} of {os.cpu_count()} cores usable, "
        f"{torch.get_num_threads()} threads of torch",
        f"RAM: {_memory()}",
        *_gpus(problems),
    ]
    job = [f"{name}={os.environ[name]}" for name in _JOB if name in os.environ]
    return [*lines, f"job: {' '.join(job)}"] if job else lines


def _processor() -> str:
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(f"SC_{name}") for name in ("PHYS_PAGES", "AVPHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows; macOS has no count of free pages
        return "unknown"
    words = f"{total / 1e9:.1f} GB, {free / 1e9:.1f} GB of them unused"
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if limit < total:
            words += f"; this container may use {limit / 1e9:.1f} GB"
    return words


def _gpus(problems: list[str]) -> list[str]:
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    if torch.backends.mps.is_available():
        return ["GPU: Apple, by MPS"]
    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi") and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
            problems.append(
                f"There is an NVIDIA driver, but torch ({built}) finds no GPU: see what "
                "`nvidia-smi` says, and install a torch for this driver."
            )
        return [f"GPU: none (torch is {built})"]
    lines = []
    for number in range(torch.cuda.device_count()):
        try:
            with torch.cuda.device(number):
                free, total = torch.cuda.mem_get_info(number)
                bfloat16 = "with" if torch.cuda.is_bf16_supported() else "without"
            lines.append(
                f"GPU {number}: {torch.cuda.get_device_name(number)}, {free / 1e9:.1f} of "
                f"{total / 1e9:.1f} GB free, {bfloat16} bfloat16 (torch is {built})"
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            lines.append(f"GPU {number}: cannot be used: {reason}")
            problems.append(f"GPU {number} cannot be used: {reason}.")
    return lines


def temporary_folder() -> Path | None:
    """Folder of temporary files; None if none can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def disk_line(name: str, folder: Path, problems: list[str]) -> str:
    """Free space of a folder, or of where it would be made, and whether it can be written.

    Args:
        name: Use of the folder.
        folder: The folder.
        problems: Problems found so far; those of the folder are appended.
    """
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    made = "" if there == folder else " (not made yet)"
    try:
        free = shutil.disk_usage(there).free
        with tempfile.NamedTemporaryFile(dir=there, prefix=".try-"):
            pass
    except OSError as error:
        reason = error.strerror or error
        problems.append(f"The folder {folder} ({name}) cannot be written: {reason}.")
        return f"{name}: {folder}{made}, cannot be written: {reason}"
    if free < _ROOM:
        problems.append(f"Less than 1 GB is free for {name}: {free / 1e9:.2f} GB in {folder}.")
    return f"{name}: {folder}{made}, {free / 1e9:.1f} GB free, can be written"
