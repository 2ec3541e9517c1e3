"""Images and answers of a request, as multipart form or as JSON."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection
from typing import Any, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vitatt.inference.images import CaseInput
from vitatt.serving.bounds import Bounds
from vitatt.serving.refusals import Refusal
from vitatt.words import did_you_mean

_FORM_FIELDS = 64


class Asked(NamedTuple):
    """What a request asks about.

    Attributes:
        image: Content of the image file, or of those of the views; None if there is none.
        answers: By column.
        options: Everything else that is given, by name.
    """

    image: CaseInput | None
    answers: dict[str, Any]
    options: dict[str, Any]


async def read_asked(request: Request, bounds: Bounds, allowed: Collection[str]) -> Asked:
    """Return what a request asks about.

    A form has the files ``image``, or ``image.VIEW`` for each view, and ``answers`` as JSON. JSON
    has ``image`` in base64, or an object of them by view, and ``answers`` as an object.

    Args:
        request: The request.
        bounds: Limits.
        allowed: Fields that it may have.

    Raises:
        Refusal: If the request cannot be read, goes beyond the bounds, or has another field, which
            would have no effect.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields = await _form(request, bounds)
    elif kind == "application/json":
        fields = _json(await request.body())
    else:
        raise Refusal(
            415,
            "Expected a request of the type multipart/form-data or application/json, but got "
            f"'{kind}'.",
        )
    for name in fields:
        if name not in allowed:
            raise Refusal(
                422,
                f"Expected no other fields than {', '.join(sorted(allowed))}, but got "
                f"'{name[:80]}'.{did_you_mean(name[:80], sorted(allowed))}",
            )
    image = _image(fields.pop("image", None))
    answers = _answers(fields.pop("answers", None), bounds)
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    return Asked(image, answers, given)


async def _form(request: Request, bounds: Bounds) -> dict[str, Any]:
    MultiPartParser.spool_max_size = bounds.body_bytes + 1  # nothing is written to the disk
    try:
        form = await request.form(
            max_files=_FORM_FIELDS, max_fields=_FORM_FIELDS, max_part_size=bounds.body_bytes
        )
    except (HTTPException, MultiPartException) as error:
        reason = error.detail if isinstance(error, HTTPException) else error.message
        raise Refusal(400, f"The form cannot be read: {reason}") from error
    try:
        return await _fields(form)
    finally:
        await form.close()


async def _fields(form: FormData) -> dict[str, Any]:
    """The fields of a form, images by view as one of them."""
    fields: dict[str, Any] = {}
    for key, value in form.multi_items():
        content: Any = await value.read() if isinstance(value, UploadFile) else value
        if key == "image" or key.startswith("image."):
            if not isinstance(content, bytes):
                raise Refusal(422, f"Expected `{key}` to be a file, but got text.")
            if not content:
                continue  # a form sends an empty file for what was not chosen
        elif isinstance(content, bytes):
            raise Refusal(422, f"Expected the files `image` or `image.VIEW`, but got `{key}`.")
        _add(fields, key, content)
    views = {name: fields.pop(name) for name in list(fields) if name.startswith("image.")}
    if views:
        _add(fields, "image", {name.removeprefix("image."): one for name, one in views.items()})
    return fields


def _add(fields: dict[str, Any], name: str, value: object) -> None:
    """Add a field, of which there must be one: the other would have no effect."""
    if name in fields:
        raise Refusal(400, f"Expected one '{name[:80]}', but got several.")
    fields[name] = value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _add(fields, name, value)
    return fields


def _json(body: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"The JSON cannot be read: {error}") from error
    if not isinstance(plain, dict):
        raise Refusal(422, f"Expected a JSON object, but got {_kind(plain)}.")
    return plain


def _image(plain: object) -> CaseInput | None:
    if plain is None or isinstance(plain, bytes):
        return plain
    if isinstance(plain, dict):
        views = {name: _decoded(f"image.{name}", one) for name, one in plain.items() if one}
        return views or None
    return _decoded("image", plain)


def _decoded(name: str, plain: object) -> bytes:
    if isinstance(plain, bytes):
        return plain
    if not isinstance(plain, str):
        raise Refusal(422, f"Expected `{name}` to be base64 text, but got {_kind(plain)}.")
    try:
        return base64.b64decode(plain.partition("base64,")[2] or plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, f"Expected `{name}` to be base64 text: {error}.") from error


def _answers(plain: object, bounds: Bounds) -> dict[str, Any]:
    if plain is None or plain == "":
        return {}
    if isinstance(plain, str):
        try:
            plain = json.loads(plain, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise Refusal(422, f"Expected `answers` to be JSON: {error}.") from error
    if not isinstance(plain, dict):
        raise Refusal(422, f"Expected `answers` to be an object, but got {_kind(plain)}.")
    if len(plain) > bounds.answers:
        raise Refusal(422, f"Expected at most {bounds.answers} answers, but got {len(plain):,}.")
    for name, value in plain.items():
        for text in (name, value):
            if isinstance(text, str) and len(text) > bounds.answer_length:
                raise Refusal(
                    422,
                    f"Expected answers of at most {bounds.answer_length} characters, but that to "
                    f"'{name[:40]}' has {len(text):,}.",
                )
    return plain


def _kind(plain: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "a truth value",
        type(None): "null",
    }
    return names.get(type(plain), "a number")
