"""Counts every answer of the server, and keeps unexpected errors inside."""

from __future__ import annotations

import sys
import time
import traceback
import uuid
from collections.abc import Callable

from vitatt.serving.guards import App, Message, Receive, Scope, Send, answer_error

_GONE = 499
"""Counted, never sent: the client did not wait for the answer."""


class Observer:
    """Counts answers; an unexpected error is a number outside, and its reason is in the log.

    Args:
        app: What answers.
        count: Called with the path of the route, the status and the seconds of each answer.
    """

    def __init__(self, app: App, count: Callable[[str, int, float], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        except Exception:  # its text is for the log alone
            number = uuid.uuid4().hex[:8]
            # The route rather than the address, which may hold a secret.
            print(f"error {number} in {scope['method']} {_route(scope)}", file=sys.stderr)
            traceback.print_exc()
            if status != _GONE:
                raise  # the answer has begun: the connection ends
            message = f"The server failed unexpectedly. Its log has the reason, as error {number}."
            await answer_error(noted, 500, message, {})
        finally:
            self._count(_route(scope), status, time.perf_counter() - start)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "other")
