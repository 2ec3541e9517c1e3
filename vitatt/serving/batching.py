"""Batches of concurrent requests: they wait in a queue while a model runs, and run together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vitatt.serving.refusals import Refusal
from vitatt.serving.worker import Worker

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting:
    """An item, and who waits for its result."""

    item: Any
    future: asyncio.Future[Any]


class Batcher(Generic[Item, Result]):
    """Runs a function on as many items at once as wait for it.

    Args:
        run: From items to their results, in the same order.
        worker: Where it runs.
        batch: Largest number of items at once.
        queue: Largest number of items that wait.
        urgent: Whether its items go before those of other queues of the worker.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        worker: Worker,
        *,
        batch: int,
        queue: int,
        urgent: bool = False,
    ) -> None:
        self._run = run
        self._worker = worker
        self._urgent = urgent
        self._batch = batch
        self._most = queue
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of items that wait."""
        return len(self._queue)

    async def __call__(self, item: Item) -> Result:
        """Return the result of an item; one that is cancelled leaves the queue.

        Raises:
            Refusal: If too many items wait.
        """
        if len(self._queue) >= self._most:
            raise Refusal(
                503,
                f"{self._most} requests are waiting, as many as this server takes. Come again in a "
                "second.",
                {"retry-after": "1"},
            )
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        try:
            result: Result = await waiting.future
        finally:
            if waiting in self._queue:
                self._queue.remove(waiting)
        return result

    async def close(self) -> None:
        """Return when what waits has run."""
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        while self._queue:
            async with self._worker.turn(urgent=self._urgent):
                count = min(self._batch, len(self._queue))
                await self._answer([self._queue.popleft() for _ in range(count)])

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        if not batch:  # all were cancelled while others had their turn
            return
        try:
            results = await self._worker.run(self._run, [one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                if not one.future.done():
                    one.future.set_result(result)
        except Exception as error:  # noqa: BLE001 (every waiting request gets it)
            for one in batch:
                if not one.future.done():
                    one.future.set_exception(error)
