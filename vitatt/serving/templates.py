"""Templates and files of a page, which its package keeps in the folder ``page``."""

from __future__ import annotations

import functools
import mimetypes
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse

import vitatt
from vitatt.serving.languages import chosen_language, languages
from vitatt.serving.refusals import Refusal

_SERVED = (".css", ".js", ".svg")


def page_files(package: str) -> dict[str, bytes]:
    """Return styles and scripts of a page by name."""
    folder = resources.files(package).joinpath("page")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(_SERVED)}


def file_answer(name: str, files: Mapping[str, bytes]) -> Response:
    """Return a file of a page as an answer.

    Raises:
        Refusal: If there is none of this name.
    """
    if name not in files:
        raise Refusal(404, f"The page has no file '{name[:80]}'.")
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return Response(files[name], media_type=kind)


def html_answer(
    package: str, template: str, language: str, *, status: int = 200, **values: Any
) -> Response:
    """Return a template of a page, filled in, as an answer.

    Args:
        package: Whose page it is.
        template: Name of the file.
        language: Code of a language of the page.
        status: Of the answer.
        values: Variables of the template, beside ``text``, ``language`` and ``version``.
    """
    text = languages(package)[language]
    page = _templates(package).get_template(template)
    html = page.render(text=text, language=language, version=vitatt.__version__, **values)
    headers = {"content-language": language, "vary": "accept-language"}
    return HTMLResponse(html, status, headers)


def language_of(request: Request) -> str:
    """Return the code of the language that a request asks for, by its address or its browser."""
    asked = request.query_params.get("lang")
    return chosen_language(asked, request.headers.get("accept-language", ""))


@functools.cache
def _templates(package: str) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}  # features in the dataset's order
    return made
