"""Errors as answers: a status, and a sentence that says what was found and what is allowed."""

from __future__ import annotations

import sys
import traceback
import uuid

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vitatt.serving.refusals import Refusal, error_body
from vitatt.types import UsageError


def add_error_answers(app: FastAPI) -> None:
    """Let an application answer errors that a client can correct."""
    app.exception_handler(Refusal)(_refused)
    app.exception_handler(UsageError)(_usage)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)


def unexpected_error(where: str) -> Response:
    """Return the answer to a request after an error that nobody expected; its text is logged.

    Args:
        where: The request, for the log.
    """
    number = uuid.uuid4().hex[:8]
    print(f"error {number} in {where}", file=sys.stderr)
    traceback.print_exc()
    message = f"The server failed unexpectedly. Its log has the reason, as error {number}."
    return JSONResponse(error_body(message), 500)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return JSONResponse(error_body(error.message), error.status, error.headers)


async def _usage(request: Request, error: Exception) -> Response:
    del request
    return JSONResponse(error_body(str(error)), 422)


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
    return JSONResponse(error_body(message), error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return JSONResponse(error_body(f"Expected other values: {found[:500]}."), 422)
