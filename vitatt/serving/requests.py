"""Images and answers of a request, as multipart form or as JSON."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vitatt.data.images.reading import learn_heif
from vitatt.inference.images import CaseInput
from vitatt.serving.bounds import Bounds
from vitatt.serving.refusals import Refusal

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "MPO")
"""Of images beside HEIF, as Pillow names them. Others, such as PostScript, would run a program."""

_FORM_FIELDS = 64


class Asked(NamedTuple):
    """What a request asks about.

    Attributes:
        image: Content of the image file, or of those of the views; None if there is none.
        answers: By column.
        options: Everything else, by name.
    """

    image: CaseInput | None
    answers: dict[str, Any]
    options: dict[str, Any]


async def read_asked(request: Request, bounds: Bounds) -> Asked:
    """Return what a request asks about.

    A form has the files ``image``, or ``image.VIEW`` for each view, and ``answers`` as JSON. JSON
    has ``image`` in base64, or an object of them by view, and ``answers`` as an object.

    Raises:
        Refusal: If the request cannot be read, or goes beyond the bounds.
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
    image = _image(fields.pop("image", None))
    answers = _answers(fields.pop("answers", None), bounds)
    return Asked(image, answers, fields)


def checked_image(image: CaseInput | None, views: Sequence[str], bounds: Bounds) -> CaseInput:
    """Return an image whose size and format are known to be within bounds, without decoding it.

    Raises:
        Refusal: If it is not, or there is none.
    """
    if image is None:
        wanted = " or ".join(f"`image.{view}`" for view in views) or "`image`"
        raise Refusal(422, f"Expected an image as the file {wanted}, but got none.")
    for name, content in image.items() if isinstance(image, Mapping) else [("image", image)]:
        if content is not None:
            assert isinstance(content, bytes)
            _check(content, name, bounds)
    return image


def _check(content: bytes, name: str, bounds: Bounds) -> None:
    source = io.BytesIO(content)
    formats = ("HEIF",) if learn_heif(source, name) else _FORMATS
    try:
        with Image.open(source, formats=formats) as one:
            width, height = one.size
    except Image.DecompressionBombError:
        raise _too_many_pixels(name, "more than Pillow opens", bounds) from None
    except Exception as error:
        raise Refusal(
            422,
            f"Expected `{name}` to be an image ({', '.join(_FORMATS)}, HEIF), but its content is "
            "none of these, or damaged.",
        ) from error
    if width * height > bounds.pixels:
        raise _too_many_pixels(name, f"{width} x {height}", bounds)


def _too_many_pixels(name: str, found: str, bounds: Bounds) -> Refusal:
    return Refusal(
        413, f"Expected `{name}` to have at most {bounds.pixels:,} pixels, but it has {found}."
    )


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
    views: dict[str, bytes] = {}
    for key, value in form.multi_items():
        content: Any = await value.read() if isinstance(value, UploadFile) else value
        if key == "image" or key.startswith("image."):
            if not isinstance(content, bytes):
                raise Refusal(422, f"Expected `{key}` to be a file, but got text.")
            if not content:
                continue  # a form sends an empty file for what was not chosen
            if key == "image":
                fields[key] = content
            else:
                views[key.removeprefix("image.")] = content
        elif isinstance(content, bytes):
            raise Refusal(422, f"Expected the files `image` or `image.VIEW`, but got `{key}`.")
        else:
            fields[key] = content
    if views:
        fields["image"] = views
    return fields


def _json(body: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(body)
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
            plain = json.loads(plain)
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
