"""The application of a reader study."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

import vitatt
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.serving.answers import Answers
from vitatt.reader_study.serving.operator_view import add_operator_view
from vitatt.reader_study.serving.recorder import Recorder
from vitatt.reader_study.serving.sessions import Sessions
from vitatt.reader_study.serving.shown import ShownFile, study_settings
from vitatt.reader_study.serving.steps import Agreed, Paused, Withdrawn, parsed
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.study_state import StudyState
from vitatt.reader_study.study_folder import sha256
from vitatt.reader_study.submission import Profile
from vitatt.serving.bounds import Bounds
from vitatt.serving.error_answers import add_error_answers, unexpected_error
from vitatt.serving.guards import Guard, TooMuch
from vitatt.serving.languages import languages
from vitatt.serving.refusals import Refusal
from vitatt.serving.templates import file_answer, html_answer, language_of, page_files

BOUNDS = Bounds(body_bytes=64_000)
"""Of requests: answers and a drawing are far smaller."""

_PACKAGE = "vitatt.reader_study.serving"
_SHARED = ("tables.css", "page.css", "icon.svg", "elements.js", "words.js", "server.js")
_SHARED_REASONS = ("evidence.js", "map_place.js")


def create_study_app(
    folder: Path,
    manifest: Manifest,
    log: EventLog,
    *,
    operator_token: str,
    hosts: Iterable[str] | None,
    clock: StudyClock | None = None,
    bounds: Bounds = BOUNDS,
) -> FastAPI:
    """Return the application.

    Args:
        folder: Of the study.
        manifest: Its plan, whose files were checked.
        log: Its log, verified.
        operator_token: Opens the view of the progress.
        hosts: Names by which the server may be called; None for any.
        clock: By default that of this machine.
        bounds: Limits of requests.
    """
    state = StudyState(manifest, log.events)
    clock = clock or StudyClock(state.latest)
    recorder = Recorder(log, state, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await recorder.close()

    app = FastAPI(
        title="vitatt study",
        version=vitatt.__version__,
        lifespan=lifespan,
        include_in_schema=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Guard, bounds=bounds, hosts=hosts, token=None)
    app.middleware("http")(_observed)
    add_error_answers(app)
    sessions = Sessions(manifest, state, recorder, clock)
    _add_pages(app, manifest, sessions)
    _add_steps(app, sessions, folder)
    add_operator_view(app, state, log, recorder, clock, operator_token)
    return app


def _add_pages(app: FastAPI, manifest: Manifest, sessions: Sessions) -> None:
    shared = page_files("vitatt.serving")
    files = {name: shared[name] for name in (*_SHARED, *_SHARED_REASONS)} | page_files(_PACKAGE)

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        return file_answer(name, files)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/")
    async def nothing(request: Request) -> Response:
        return _no_study(request, 200)

    @app.get("/r/{token}")
    async def page(token: str, request: Request) -> Response:
        language = language_of(request)
        try:
            reader = sessions.reader(token)
        except Refusal:
            return _no_study(request, 404)
        values: dict[str, Any] = {
            "language": language,
            "text": languages(_PACKAGE)[language],
            "classes": {one.name: one.title for one in manifest.classes},
            "features": {one.name: one.title for one in manifest.features},
            "study": study_settings(manifest, language),
            "base": f"/r/{token}",
        }
        return html_answer(
            _PACKAGE,
            "study.html.jinja",
            language,
            code=reader.reader.code,
            token=token,
            languages=_names(),
            page=values,
        )


def _add_steps(app: FastAPI, sessions: Sessions, folder: Path) -> None:
    @app.post("/r/{token}/now")
    async def now(token: str) -> dict[str, Any]:
        return await sessions.now(token)

    @app.post("/r/{token}/consent")
    async def consent(token: str, request: Request) -> dict[str, str]:
        await sessions.agree(token, parsed(Agreed, await request.body()))
        return _DONE

    @app.post("/r/{token}/profile")
    async def profile(token: str, request: Request) -> dict[str, str]:
        await sessions.introduce(token, parsed(Profile, await request.body()))
        return _DONE

    @app.post("/r/{token}/answers")
    async def answers(token: str, request: Request) -> dict[str, Any]:
        return await sessions.submit(token, parsed(Answers, await request.body()))

    @app.post("/r/{token}/pause")
    async def pause(token: str, request: Request) -> dict[str, str]:
        await sessions.pause(token, parsed(Paused, await request.body()))
        return _DONE

    @app.post("/r/{token}/resume")
    async def resume(token: str) -> dict[str, str]:
        await sessions.resume(token)
        return _DONE

    @app.post("/r/{token}/withdraw")
    async def withdraw(token: str, request: Request) -> dict[str, str]:
        await sessions.withdraw(token, parsed(Withdrawn, await request.body()))
        return _DONE

    @app.get("/r/{token}/files/{name}")
    async def file(token: str, name: str) -> Response:
        shown = sessions.file(token, name)
        return Response(await run_in_threadpool(_content, folder, shown), media_type="image/png")


_DONE = {"status": "done"}


async def _observed(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Answer a request; an unexpected error leaves no trace outside, nor a token in the log."""
    try:
        return await call_next(request)
    except TooMuch:
        raise
    except Exception:  # noqa: BLE001 (its text is for the log alone)
        route = getattr(request.scope.get("route"), "path", "another address")
        return unexpected_error(f"{request.method} {route}")


def _content(folder: Path, shown: ShownFile) -> bytes:
    """The content of a file, as the plan lists it.

    Raises:
        Refusal: If it was changed while the study runs.
    """
    try:
        content = (folder / shown.file).read_bytes()
    except OSError:
        content = b""
    if sha256(content) != shown.sha256:
        raise Refusal(
            503,
            "An image of the study was changed while it runs. Please tell the person who sent "
            "you the address.",
        )
    return content


def _no_study(request: Request, status: int) -> Response:
    values = {"languages": _names(), "is_wrong": status == 404}
    return html_answer(
        _PACKAGE, "no_study.html.jinja", language_of(request), status=status, **values
    )


def _names() -> dict[str, str]:
    return {code: one["language_name"] for code, one in languages(_PACKAGE).items()}
