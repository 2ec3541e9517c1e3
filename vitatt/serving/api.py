"""The application of trained models: the HTTP API and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import vitatt
from vitatt.inference.predictor import Predictor
from vitatt.serving.bounds import Bounds
from vitatt.serving.cards import model_card
from vitatt.serving.guards import Guard
from vitatt.serving.observer import Observer
from vitatt.serving.page import add_page
from vitatt.serving.refusals import Refusal, error_bytes
from vitatt.serving.routes import add_routes
from vitatt.serving.server import Server
from vitatt.types import UsageError


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
    app.add_middleware(Observer, monitoring=server.monitoring)  # the last one is outermost
    app.exception_handler(Refusal)(_refused)
    app.exception_handler(UsageError)(_usage)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    add_routes(app, server)
    cards = [model_card(one.name, one.predictor) for one in server.models.values()]
    add_page(app, cards, server.cases, token)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return _error(error.status, error.message, error.headers)


async def _usage(request: Request, error: Exception) -> Response:
    del request
    return _error(422, str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    routes = [one for one in request.app.routes if getattr(one, "include_in_schema", False)]
    known = sorted({getattr(one, "path", "") for one in routes})
    message = str(error.detail)
    if error.status_code == 404:
        message = f"There is no {request.url.path[:200]!r}. There are {', '.join(known)}."
    if error.status_code == 405:
        message = f"{request.method} is not possible at {request.url.path[:200]!r}."
    return _error(error.status_code, message, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return _error(422, f"Expected other values: {found[:500]}.")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(error_bytes(message), status, headers, "application/json")
