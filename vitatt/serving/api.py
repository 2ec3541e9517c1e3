"""The application of trained models: the HTTP API and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import FastAPI

import vitatt
from vitatt.inference.predictor import Predictor
from vitatt.serving.bounds import Bounds
from vitatt.serving.cards import model_card
from vitatt.serving.error_answers import add_error_answers
from vitatt.serving.guards import Guard
from vitatt.serving.observer import Observer
from vitatt.serving.page import add_page
from vitatt.serving.routes import add_routes
from vitatt.serving.server import Server


def create_app(
    models: Mapping[str, Predictor],
    *,
    bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    hosts: Iterable[str] | None = ("127.0.0.1", "localhost", "::1"),
    token: str | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        models: Models by name, of one dataset; the first is used where a request names none.
        bounds: Limits of requests.
        hosts: Names by which the server may be called; None for any.
        token: What requests must carry; None for nothing.
    """
    server = Server(models, bounds)
    app = FastAPI(
        title="vitatt",
        version=vitatt.__version__,
        description="Skin lesion classification from image and metadata. Not a medical device.",
        lifespan=server.lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.server = server
    app.add_middleware(Guard, bounds=bounds, hosts=hosts, token=token)
    app.add_middleware(Observer, count=server.monitoring.request)  # the last one is outermost
    add_error_answers(app)
    add_routes(app, server)
    cards = [model_card(one.name, one.predictor) for one in server.models.values()]
    add_page(app, cards, server.cases, token)
    return app
