"""Memory of a process, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path

LINUX = Path("/proc/self/smaps_rollup").exists()


def peak_memory() -> float:
    """The most memory that this program has held, in GB.

    Not `ru_maxrss`: a process inherits that from the one that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    raise AssertionError("/proc/self/status has no VmHWM")


def private_memory(*others: int) -> int:
    """What this process and others, by their ids, share with nobody, in kB."""
    lines = [
        line.split()
        for pid in (os.getpid(), *others)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    ]
    return sum(int(words[1]) for words in lines if words[0].startswith("Private_"))
