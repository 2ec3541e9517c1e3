"""The page of the server, its files, and signing in."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

import vitatt
from vitatt.explain.methods import METHODS
from vitatt.inference.images import ImageInput, read_pixels
from vitatt.serving.case_store import CaseStore
from vitatt.serving.examples import EXAMPLES, example_files
from vitatt.serving.form import class_choices, form_fields, unused_features
from vitatt.serving.guards import COOKIE, is_token
from vitatt.serving.languages import languages
from vitatt.serving.refusals import Refusal
from vitatt.serving.schemas import ModelCard
from vitatt.serving.templates import file_answer, html_answer, language_of, page_files
from vitatt.serving.token_form import token_of_form

_PACKAGE = "vitatt.serving"
_SIDE = 640
"""Of a picture for browsers that cannot show its format, in pixels."""


def add_page(
    app: FastAPI, cards: Sequence[ModelCard], cases: CaseStore, token: str | None = None
) -> None:
    """Add the page, its files, and signing in, to an application.

    Args:
        app: The application.
        cards: Of the models, all of one dataset.
        cases: Cases in hand.
        token: What requests must carry; None for nothing.
    """
    files = {**page_files(_PACKAGE), **example_files(cards[0].views)}
    hidden: dict[str, Any] = {"include_in_schema": False}

    @app.get("/", **hidden)
    async def index(request: Request) -> Response:
        language = language_of(request)
        return html_answer(
            _PACKAGE, "index.html.jinja", language, **_values(cards, language, token is not None)
        )

    @app.get("/static/{name}", **hidden)
    async def static(name: str) -> Response:
        return file_answer(name, files)

    @app.get("/cases/{case}/pictures/{view}", **hidden)
    async def picture(case: str, view: str) -> Response:
        image: Any = cases.get(case)[0].image
        content = image.get(view) if isinstance(image, Mapping) else image
        if content is None:
            raise Refusal(404, f"This case has no picture '{view[:80]}'.")
        return Response(await run_in_threadpool(_jpeg, content), media_type="image/jpeg")

    @app.get("/login", **hidden)
    async def login(request: Request) -> Response:
        if token is None:
            return RedirectResponse("/", 303)
        return html_answer(_PACKAGE, "login.html.jinja", language_of(request), wrong=False)

    @app.post("/login", **hidden)
    async def sign_in(request: Request) -> Response:
        language = language_of(request)
        if token is None:
            return RedirectResponse("/", 303)
        given = token_of_form(await request.body())
        if not is_token(token, given):
            return html_answer(_PACKAGE, "login.html.jinja", language, status=401, wrong=True)
        answer = RedirectResponse(f"/?lang={language}", 303)
        answer.set_cookie(
            COOKIE, given, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return answer

    @app.post("/logout", **hidden)
    async def sign_out() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer


def _values(cards: Sequence[ModelCard], language: str, has_token: bool) -> dict[str, Any]:
    """Variables of the template of the page."""
    text = languages()[language]
    classes = class_choices(cards[0])
    fields = form_fields(cards, text)
    return {
        "dataset": cards[0].dataset,
        "models": [card.name for card in cards],
        "views": cards[0].views,
        "classes": classes,
        "fields": fields,
        "unused": unused_features(cards),
        "examples": EXAMPLES,
        "has_token": has_token,
        "languages": {code: one["language_name"] for code, one in languages().items()},
        "page": {  # for the script
            "language": language,
            "text": text,
            "version": vitatt.__version__,
            "views": cards[0].views,
            "models": [_model(card) for card in cards],
            "classes": {one.value: one.shown for one in classes},
            "positive": cards[0].positive,
            "features": {one.name: one.label for one in fields},
        },
    }


def _model(card: ModelCard) -> dict[str, Any]:
    """A model for the script, with the method of its maps; None if none applies but chance."""
    known = [one for one in METHODS if one in card.methods and one != "random"]
    method = next(iter(known), None)  # TMME, if it applies
    return {
        "name": card.name,
        "dataset": card.dataset,
        "fold": card.fold,
        "method": method,
        "method_title": METHODS[method].title if method else None,
    }


def _jpeg(image: ImageInput) -> bytes:
    content = io.BytesIO()
    Image.fromarray(read_pixels(image, _SIDE)).save(content, "JPEG", quality=85)
    return content.getvalue()
