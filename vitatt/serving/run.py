"""Run trained models as a server until it is told to stop."""

from __future__ import annotations

from collections.abc import Mapping

from vitatt.inference.predictor import Predictor
from vitatt.serving.api import create_app
from vitatt.serving.bounds import Bounds
from vitatt.serving.listening import LOCAL, address_of, listen, run_app


def run_server(models: Mapping[str, Predictor], *, host: str, port: int, token: str | None) -> int:
    """Serve models, and return 0 after SIGINT or SIGTERM, when what ran is finished.

    Args:
        models: By name.
        host: Address to listen at.
        port: Port to listen at; 0 for any that is free.
        token: What requests must carry; None for nothing.

    Raises:
        UsageError: If there is no such address, or the port is taken.
    """
    bounds = Bounds()
    listening = listen(host, port)
    local = token is None
    hosts = LOCAL if local else None
    app = create_app(models, bounds=bounds, hosts=hosts, token=token)
    address = address_of(host, listening)
    print(f"Serving {', '.join(models)} at {address}/  (Ctrl-C ends it)", flush=True)
    print("Not a medical device. Nothing that is sent is stored.", flush=True)
    run_app(app, listening, bounds.connections)
    return 0
