"""Times as ratios of two things measured in one run: the machine is shared, and noisy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

REPETITIONS = 5


def ratio(work: Callable[[], object], unit: Callable[[], object]) -> float:
    """Median time of work over median time of unit, in alternating repetitions."""
    times: dict[str, list[float]] = {"work": [], "unit": []}
    for _ in range(REPETITIONS + 1):  # the first is a warm-up
        for name, run in (("work", work), ("unit", unit)):
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    return statistics.median(times["work"][1:]) / statistics.median(times["unit"][1:])
