"""What a request asks of a model: read, checked and described in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi import Request

from vitatt.inference.images import CaseInput
from vitatt.serving.refusals import Refusal
from vitatt.serving.requests import read_asked
from vitatt.serving.served import ServedModel
from vitatt.serving.server import Server
from vitatt.serving.uploads import checked_image

FORMATS = ("numbers", "png")
"""Of a map."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "image": {"type": "string", "description": "The image; `image.VIEW` for each view."},
    "answers": {
        "type": "object",
        "description": "Answers by column, see /v1/model; JSON text in a form.",
        "example": {"age": 55, "itch": "yes"},
    },
    "model": {"type": "string", "description": "Name of a model; by default the first."},
    "target": {"type": "string", "description": "Class to explain; by default the predicted one."},
    "contrast": {"type": "string", "description": "A second class: why the first and not it."},
    "method": {"type": "string", "description": "Method of explanation.", "default": "tmme"},
    "format": {"type": "string", "enum": list(FORMATS), "default": "numbers"},
}
"""Of requests, as OpenAPI describes them."""


class Question(NamedTuple):
    """What a request asks.

    Attributes:
        served: The model that it names, or the first.
        image: Of the case, within bounds; None if the request has none.
        answers: By column.
        target: Class to explain; None for the predicted one.
        contrast: A second class; None for none.
        method: Of explanation.
        format: Of the map.
    """

    served: ServedModel
    image: CaseInput | None
    answers: Mapping[str, Any]
    target: str | None
    contrast: str | None
    method: str
    format: str


def question_of(server: Server, *fields: str) -> Callable[[Request], Awaitable[Question]]:
    """Return a dependency of a route: the question of a request that may have these fields.

    Args:
        server: Whose models are asked.
        fields: Of `FIELDS`; an image is needed if it is among them.
    """

    async def read(request: Request) -> Question:
        asked = await read_asked(request, server.bounds, fields)
        served = server.named(asked.options.get("model"))
        image = None
        if "image" in fields:
            image = checked_image(asked.image, served.predictor.tasks[0].views, server.bounds)
        kind = _text(asked.options, "format") or FORMATS[0]
        if kind not in FORMATS:
            raise Refusal(422, f"Expected `format` to be numbers or png, but got {kind[:80]!r}.")
        return Question(
            served,
            image,
            asked.answers,
            _text(asked.options, "target"),
            _text(asked.options, "contrast"),
            _text(asked.options, "method") or FIELDS["method"]["default"],
            kind,
        )

    return read


def body_of(*fields: str) -> dict[str, Any]:
    """Return the body of a request with these fields, for OpenAPI."""
    known = {name: FIELDS[name] for name in fields}
    in_json, in_form = dict(known), dict(known)
    if "image" in known:
        image = known["image"]
        in_json["image"] = {**image, "description": f"{image['description']} In base64."}
        in_form["image"] = {**image, "format": "binary"}
    needed = [name for name in fields if name == "image"]
    content = {"application/json": {"schema": _object(in_json, needed)}}
    if needed:
        content = {"multipart/form-data": {"schema": _object(in_form, needed)}} | content
    return {"requestBody": {"required": True, "content": content}}


def _object(fields: Mapping[str, Any], needed: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": needed}


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(422, f"Expected `{name}` to be text, but got {type(value).__name__}.")
    return value
