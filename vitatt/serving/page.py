"""The page of the server, its files, and signing in."""

from __future__ import annotations

import functools
import io
import mimetypes
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

import vitatt
from vitatt.explain.methods import METHODS
from vitatt.inference.images import ImageInput, read_pixels
from vitatt.serving.case_store import CaseStore
from vitatt.serving.examples import EXAMPLES, example_files
from vitatt.serving.form import class_choices, form_fields, unused_features
from vitatt.serving.guards import COOKIE, is_token
from vitatt.serving.languages import chosen_language, languages
from vitatt.serving.refusals import Refusal
from vitatt.serving.schemas import ModelCard

_SERVED = (".css", ".js", ".svg")
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
    files = {**_files(), **example_files(cards[0].views)}
    hidden: dict[str, Any] = {"include_in_schema": False}

    @app.api_route("/", methods=["GET", "HEAD"], **hidden)
    async def index(request: Request) -> Response:
        language = _language(request)
        return _html("index.html.jinja", language, **_values(cards, language, token is not None))

    @app.get("/static/{name}", **hidden)
    async def static(name: str) -> Response:
        if name not in files:
            raise Refusal(404, f"The page has no file '{name[:80]}'.")
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        return Response(files[name], media_type=kind)

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
        return _html("login.html.jinja", _language(request), wrong=False)

    @app.post("/login", **hidden)
    async def sign_in(request: Request) -> Response:
        language = _language(request)
        if token is None:
            return RedirectResponse("/", 303)
        given = _token(await request.body())
        if not is_token(token, given):
            return _html("login.html.jinja", language, status=401, wrong=True)
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


def _html(template: str, language: str, *, status: int = 200, **values: Any) -> Response:
    text = languages()[language]
    page = _templates().get_template(template)
    html = page.render(text=text, language=language, version=vitatt.__version__, **values)
    headers = {"content-language": language, "vary": "accept-language"}
    return HTMLResponse(html, status, headers)


@functools.cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("vitatt.serving", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}  # features in the dataset's order
    return made


def _files() -> dict[str, bytes]:
    """Styles and scripts by name."""
    folder = resources.files("vitatt.serving").joinpath("page")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(_SERVED)}


def _language(request: Request) -> str:
    asked = request.query_params.get("lang")
    return chosen_language(asked, request.headers.get("accept-language", ""))


def _token(body: bytes) -> str:
    """The token in a form.

    Raises:
        Refusal: If it cannot be read.
    """
    try:
        return parse_qs(body.decode(), max_num_fields=4).get("token", [""])[0]
    except ValueError as error:
        raise Refusal(400, "The form cannot be read.") from error


def _jpeg(image: ImageInput) -> bytes:
    content = io.BytesIO()
    Image.fromarray(read_pixels(image, _SIDE)).save(content, "JPEG", quality=85)
    return content.getvalue()
