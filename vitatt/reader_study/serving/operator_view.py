"""The operator's view: signing in, and the progress of the readers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.serving.progress import moment, progress
from vitatt.reader_study.serving.recorder import Recorder
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.study_state import StudyState
from vitatt.serving.guards import is_token
from vitatt.serving.templates import html_answer, language_of
from vitatt.serving.token_form import token_of_form

COOKIE = "vitatt_operator"

_PACKAGE = "vitatt.reader_study.serving"


def add_operator_view(
    app: FastAPI,
    state: StudyState,
    log: EventLog,
    recorder: Recorder,
    clock: StudyClock,
    token: str,
) -> None:
    """Add the operator's view to an application.

    Args:
        app: The application.
        state: Of the study.
        log: Of the study.
        recorder: That writes to it.
        clock: The server's.
        token: The operator's.
    """

    @app.get("/operator")
    async def view(request: Request) -> Response:
        language = language_of(request)
        if not is_token(token, _given(request)):
            return html_answer(_PACKAGE, "sign_in.html.jinja", language, wrong=False)
        values: dict[str, Any] = {
            "name": state.manifest.name,
            "readers": progress(state, clock.now()),
            "readings": state.readings,
            "planned": state.manifest.stopping.readings,
            "until": state.manifest.stopping.date,
            "head": log.head,
            "jumps": [(moment(time), seconds) for time, seconds in state.jumps],
            "torn": log.torn.name if log.torn else "",
            "trouble": recorder.trouble,
            "now": moment(clock.now()),
        }
        return html_answer(_PACKAGE, "operator.html.jinja", language, **values)

    @app.post("/operator")
    async def sign_in(request: Request) -> Response:
        language = language_of(request)
        given = token_of_form(await request.body())
        if not is_token(token, given):
            return html_answer(_PACKAGE, "sign_in.html.jinja", language, status=401, wrong=True)
        answer = RedirectResponse(f"/operator?lang={language}", 303)
        answer.set_cookie(
            COOKIE,
            given,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/operator",
        )
        return answer

    @app.post("/operator/sign-out")
    async def sign_out() -> Response:
        answer = RedirectResponse("/operator", 303)
        answer.delete_cookie(COOKIE, path="/operator", httponly=True, samesite="strict")
        return answer


def _given(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
