"""Run the server until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn

from vitatt.inference.predictor import Predictor
from vitatt.serving.api import create_app
from vitatt.serving.bounds import Bounds
from vitatt.types import UsageError

_SECONDS_TO_FINISH = 30


def run_server(
    models: Mapping[str, Predictor], listening: socket.socket, *, host: str, token: str | None
) -> int:
    """Serve models, and return 0 after SIGINT or SIGTERM, when what ran is finished.

    Args:
        models: By name.
        listening: See `listen`.
        host: As it was named.
        token: What requests must carry; None for nothing.
    """
    bounds = Bounds()
    port = listening.getsockname()[1]
    local = token is None
    hosts = ("127.0.0.1", "localhost", "::1") if local else None
    app = create_app(models, bounds=bounds, hosts=hosts, token=token)
    shown = f"[{host}]" if ":" in host else host
    print(f"Serving {', '.join(models)} at http://{shown}:{port}/  (Ctrl-C ends it)", flush=True)
    print("Not a medical device. Nothing that is sent is stored.", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=bounds.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        h11_max_incomplete_event_size=16 * 1024,
        http="h11",
        ws="none",
        lifespan="on",
    )
    _Server(config).run(sockets=[listening])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; who calls waits until the server runs.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 for any that is free.

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
