"""What every request passes before it is looked at: host, token, size and time."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from vitatt.serving.bounds import Bounds
from vitatt.serving.refusals import error_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "vitatt_token"

_OPEN = ("/healthz", "/login", "/static/")
"""Paths that need no token."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
"""Of every answer: nothing is loaded from elsewhere, stored by a browser or shown in a frame."""


class Guard:
    """Refuses requests of other hosts, without the token, too large or too slow.

    It also ends the work on a request whose client has gone away.

    Args:
        app: What is guarded.
        bounds: Limits.
        hosts: Names by which the server may be called; None for any. A page elsewhere could let its
            own name lead to this server, and call it from a visitor's browser (DNS rebinding).
        token: What requests must carry; None for nothing.
    """

    def __init__(
        self, app: App, bounds: Bounds, hosts: Iterable[str] | None, token: str | None
    ) -> None:
        self._app = app
        self._bounds = bounds
        self._hosts = None if hosts is None else frozenset(hosts)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, see ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        if (refused := self._refused(scope, headers)) is not None:
            await answer_error(send, *refused)
            return
        body = _Body(receive, self._bounds)
        started = finished = False

        async def with_headers(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                own = {key.lower() for key, _ in message["headers"]}
                more = [
                    (k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)
            if message["type"] == "http.response.body":
                finished = not message.get("more_body", False)

        work = asyncio.ensure_future(self._app(scope, body.receive, with_headers))
        gone = asyncio.ensure_future(body.gone())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not finished:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
            else:
                await work
        except TooMuch as error:
            if not started:
                await answer_error(send, error.status, str(error), {"connection": "close"})
        finally:
            gone.cancel()
            work.cancel()

    def _refused(
        self, scope: Scope, headers: dict[str, str]
    ) -> tuple[int, str, dict[str, str]] | None:
        host = re.sub(r":\d*$", "", headers.get("host", "")).lower()  # [::1] has colons of its own
        host = host.removeprefix("[").removesuffix("]")
        if self._hosts is not None and host not in self._hosts:
            known = ", ".join(sorted(self._hosts))
            return 421, f"This server is called {known}, but the request was for '{host}'.", {}
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return (
                400,
                f"Expected the length of the request to be a number, but got '{length}'.",
                {},
            )
        if int(length) > self._bounds.body_bytes:
            close = {"connection": "close"}
            return 413, _too_large(self._bounds, int(length)), close
        if self._token is None or scope["path"].startswith(_OPEN):
            return None
        if not is_token(self._token, _given(headers)):
            if scope["path"] == "/" and scope["method"] == "GET":
                return 303, "A token is needed.", {"location": "/login"}
            message = "Expected the token of this server as `Authorization: Bearer TOKEN`."
            return 401, message, {"www-authenticate": "Bearer"}
        return None


def _given(headers: dict[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if cookie is None else cookie.value


def is_token(token: str, given: str) -> bool:
    """Return whether a token is the right one, in a time that does not tell how much of it is."""
    return hmac.compare_digest(token.encode(), given.encode())


class TooMuch(Exception):  # noqa: N818
    """A request that is too large or too slow; answered by `Guard`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Body:
    """Counts the bytes of a request, and the time it takes to arrive."""

    def __init__(self, receive: Receive, bounds: Bounds) -> None:
        self._receive = receive
        self._bounds = bounds
        self._bytes = 0
        self._until = time.monotonic() + bounds.body_seconds
        self._done = asyncio.Event()

    async def gone(self) -> None:
        """Return when the client goes away, after its whole request has been read."""
        await self._done.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def receive(self) -> Message:
        if self._done.is_set():  # what may still come is that the client goes away
            return await self._receive()
        left = self._until - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, left))
        except TimeoutError:
            seconds = f"{self._bounds.body_seconds:g}"
            raise TooMuch(
                408, f"Expected the whole request within {seconds} seconds, but it had not arrived."
            ) from None
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._done.set()
            if self._bytes > self._bounds.body_bytes:
                raise TooMuch(413, _too_large(self._bounds, self._bytes))
        return message


def _too_large(bounds: Bounds, found: int) -> str:
    return f"Expected a request of at most {bounds.body_bytes:,} bytes, but got {found:,} or more."


async def answer_error(send: Send, status: int, message: str, headers: dict[str, str]) -> None:
    """Send an error without the application.

    Args:
        send: See ASGI.
        status: HTTP status.
        message: What was found, and what is allowed.
        headers: Beside `HEADERS`.
    """
    body = error_bytes(message)
    named = {
        **HEADERS,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    start = [(key.encode(), value.encode()) for key, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
