"""Steps of a reader but for answers, as the page sends them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from vitatt.reader_study.frozen_model import FrozenModel, first_problem
from vitatt.serving.refusals import Refusal

_Model = TypeVar("_Model", bound=FrozenModel)

Item = Annotated[str, Field(max_length=40)]
"""Opaque name of a case in an arm."""


class Agreed(FrozenModel):
    """A reader agrees to a version of the text."""

    version: str
    language: str


class Paused(FrozenModel):
    """A reader pauses, with the visible time of the page so far."""

    item: Item
    reason: Literal["button", "idle", "hidden"]
    seconds: Annotated[float, Field(ge=0)]


class Withdrawn(FrozenModel):
    """A reader withdraws; `exclude` is heeded where the plan lets readers choose."""

    exclude: bool


def parsed(kind: type[_Model], body: bytes) -> _Model:
    """Return the body of a request.

    Raises:
        Refusal: If it is no JSON of this kind.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        place, found = first_problem(error)
        raise Refusal(422, f"Expected other values: {place or 'the body'}: {found['msg']}.") from (
            None  # the error holds the whole input
        )
