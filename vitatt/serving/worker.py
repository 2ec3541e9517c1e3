"""The thread in which models run, one call after the other."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

Result = TypeVar("Result")


class Worker:
    """One thread, so that models do not compete for the cores; urgent turns go before others.

    What runs is never interrupted.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "models")
        self._is_taken = False
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait until nothing else runs, and keep it so for the block.

        Args:
            urgent: Whether to go before all turns that are not; otherwise they are in order.
        """
        if self._is_taken:
            mine = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (not urgent, next(self._order), mine))
            await mine
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def run(self, function: Callable[..., Result], *given: object) -> Result:
        """Return the result of a function that runs in the thread; to be called in a turn."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *given)

    def close(self) -> None:
        """End the thread, after what runs."""
        self._thread.shutdown()

    def _pass_on(self) -> None:
        """Give the turn to the next; it stays taken, so that nobody comes between."""
        while self._waiting:
            *_, mine = heapq.heappop(self._waiting)
            if not mine.done():
                mine.set_result(None)
                return
        self._is_taken = False
