"""Listen at an address, and run an application there until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from vitatt.serving.guards import App
from vitatt.types import UsageError

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine."""

_SECONDS_TO_FINISH = 30


def run_app(app: App, listening: socket.socket, connections: int) -> None:
    """Run an application until SIGINT or SIGTERM, and then until what runs is finished.

    Args:
        app: The application.
        listening: Of `listen`.
        connections: At a time; further ones are refused.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        h11_max_incomplete_event_size=16 * 1024,
        http="h11",
        lifespan="on",
    )
    _Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; who calls early waits until the server runs.

    Raises:
        UsageError: If there is no such address, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UsageError(
            f"The server cannot listen at {host}, port {port}: {error.strerror}. Choose another "
            "`--port` or `--host`."
        ) from error
    return listening


def address_of(host: str, listening: socket.socket) -> str:
    """Return the address of a server as a browser takes it."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Ends in good order after a signal, which uvicorn would raise once more."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals for a wish to end, while the server runs."""
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
