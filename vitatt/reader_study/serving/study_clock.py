"""The server's clock, and its jumps."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

_TOLERANCE = 5.0
"""Seconds that a clock may move by itself: it is set by the network in small steps."""


def monotonic() -> float:
    """Return seconds of a clock that never jumps, and goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class StudyClock:
    """The server's clock.

    Args:
        latest: The latest time of the log.
        wall: The time of day, which can be set.
        steady: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        latest: datetime.datetime,
        wall: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        steady: Callable[[], float] = monotonic,
    ) -> None:
        self.now = wall
        self.monotonic = steady
        # While no server ran, time may have passed, but not less than none.
        self._expected = max(latest, wall())
        self._steady = steady()

    def jump(self) -> float:
        """Return the seconds by which the clock has jumped since the last call; 0 for none."""
        now, steady = self.now(), self.monotonic()
        passed = datetime.timedelta(seconds=steady - self._steady)
        jump = (now - self._expected - passed).total_seconds()
        self._expected, self._steady = now, steady
        return jump if abs(jump) > _TOLERANCE else 0.0
