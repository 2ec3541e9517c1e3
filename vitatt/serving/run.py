"""Run trained models as a server until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from vitatt.inference.predictor import Predictor
from vitatt.serving.api import create_app
from vitatt.serving.bounds import Bounds
from vitatt.serving.listening import LOCAL, address_of, run_app


def run_server(
    models: Mapping[str, Predictor], listening: socket.socket, *, host: str, token: str | None
) -> int:
    """Serve models, and return 0 after SIGINT or SIGTERM, when what ran is finished.

    Args:
        models: By name.
        listening: See `vitatt.serving.listening.listen`.
        host: As it was named.
        token: What requests must carry; None for nothing.
    """
    bounds = Bounds()
    local = token is None
    hosts = LOCAL if local else None
    app = create_app(models, bounds=bounds, hosts=hosts, token=token)
    address = address_of(host, listening)
    print(f"Serving {', '.join(models)} at {address}/  (Ctrl-C ends it)", flush=True)
    print("Not a medical device. Nothing that is sent is stored.", flush=True)
    run_app(app, listening, bounds.connections)
    return 0
