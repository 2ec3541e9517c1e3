"""Base of the records of a reader study: constant, strictly typed, without unknown fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
"""A word that stands in file names and addresses."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""


class FrozenModel(BaseModel):
    """A record that refuses unknown fields, other types and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def first_problem(error: ValidationError) -> tuple[str, ErrorDetails]:
    """The place and the details of one problem: of an unknown field, if there is one.

    A misspelt field is unknown, and its right name is missing as well.
    """
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    return ".".join(str(part) for part in first["loc"]), first
