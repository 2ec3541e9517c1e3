"""Times as ratios of two things measured in one run: the machine is shared, and noisy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

REPETITIONS = 9


def ratio(
    work: Callable[[], object], unit: Callable[[], object], repetitions: int = REPETITIONS
) -> float:
    """Median over alternating repetitions of the time of work over that of unit."""
    times: dict[str, list[float]] = {"work": [], "unit": []}
    for _ in range(repetitions + 1):  # the first is a warm-up
        for name, run in (("work", work), ("unit", unit)):
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    return median_ratio(times["work"], times["unit"])


def median_ratio(work: list[float], unit: list[float]) -> float:
    """Of neighbours in time, as a machine is slower at some times; the first are a warm-up."""
    return statistics.median(one / other for one, other in zip(work[1:], unit[1:], strict=True))
