"""Steps that go on to their end, although nobody waits for them any more."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_running: set[asyncio.Task[Any]] = set()


def unbroken(
    step: Callable[_Given, Coroutine[Any, Any, _Result]],
) -> Callable[_Given, Coroutine[Any, Any, _Result]]:
    """Return a step that is not cancelled with the request that asked for it.

    A page that is loaded again cancels its request. Otherwise its reader could take the next step
    while the one before is still being written, and be acknowledged for both.
    """

    @functools.wraps(step)
    async def whole(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        task = asyncio.create_task(step(*args, **kwargs))
        _running.add(task)  # the event loop itself would forget it
        task.add_done_callback(_ended)
        return await asyncio.shield(task)

    return whole


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # who still waits is told; nobody else has to know
