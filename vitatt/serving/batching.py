"""Batches of concurrent requests: they wait in a queue while a model runs, and run together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from vitatt.serving.refusals import Refusal
from vitatt.serving.worker import Worker

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(NamedTuple):
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
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue)
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of items that wait."""
        return self._queue.qsize()

    async def __call__(self, item: Item) -> Result:
        """Return the result of an item.

        Raises:
            Refusal: If too many items wait.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Refusal(
                503,
                f"{self._queue.maxsize} requests are waiting, as many as this server takes. Come "
                "again in a second.",
                {"retry-after": "1"},
            ) from None
        result: Result = await waiting.future
        return result

    async def close(self) -> None:
        """Stop, after what waits has run."""
        if self._task is not None:
            await self._queue.join()
            self._task.cancel()

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            async with self._worker.turn(urgent=self._urgent):
                while len(batch) < self._batch and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                await self._answer([one for one in batch if not one.future.cancelled()])
            for _ in batch:
                self._queue.task_done()

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Run items for which somebody still waits."""
        if not batch:
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
