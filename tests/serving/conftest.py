"""Servers of small models that nobody trained, each on a free port."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from tests.inference.conftest import data, demo_root, make_data, save
from vitatt.inference import Predictor
from vitatt.serving.api import create_app
from vitatt.serving.bounds import Bounds

__all__ = ["data", "demo_root", "make_data", "save"]  # fixtures

Start = Callable[..., httpx.Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server in a thread; returns a client of it."""
    running: list[tuple[uvicorn.Server, threading.Thread, httpx.Client]] = []

    def run(
        models: dict[str, Predictor], bounds: Bounds | None = None, **options: Any
    ) -> httpx.Client:
        app = create_app(models, bounds=bounds or Bounds(), **options)
        config = uvicorn.Config(app, port=0, log_level="error", http="h11", lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        client.app = app  # type: ignore[attr-defined]
        running.append((server, thread, client))
        return client

    yield run
    for server, thread, client in running:
        client.close()
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def predictor(save, data) -> Predictor:
    return Predictor.load(save(data), device="cpu")


@pytest.fixture
def photo(demo_root) -> bytes:
    return next((demo_root / "images").iterdir()).read_bytes()


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """An image file in memory."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def message(response: httpx.Response) -> str:
    """The message of an error."""
    plain = response.json()
    assert list(plain) == ["error"]
    assert list(plain["error"]) == ["message"]
    text: str = plain["error"]["message"]
    return text
