"""Errors as answers: a status, and a sentence that says what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from vitatt.serving.refusals import Refusal, error_bytes
from vitatt.types import UsageError


def add_error_answers(app: FastAPI) -> None:
    """Let an application answer errors that a client can correct."""
    app.exception_handler(Refusal)(_refused)
    app.exception_handler(UsageError)(_usage)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)


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
        there = f" There are {', '.join(known)}." if known else ""
        message = f"There is no {request.url.path[:200]!r}.{there}"
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
