"""Data of the events of a reader study, by kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vitatt.reader_study.frozen_model import FrozenModel

Position = Annotated[int, Field(ge=1)]


class Profile(FrozenModel):
    """Data of ``profile``: the reader's experience band."""

    experience: str


class CaseShown(FrozenModel):
    """Data of ``case_shown``.

    Attributes:
        monotonic: Seconds of the server's clock that never jumps.
    """

    case: str
    arm: str
    period: Position
    position: Position
    monotonic: float


class Drawing(FrozenModel):
    """Evidence drawn on the image; see `vitatt.reader_study.evidence_mask` for the mask."""

    shape: Literal["box", "brush"]
    mask: str


class Submission(FrozenModel):
    """Data of ``submitted`` and ``training_submitted``: all answers on a case in an arm.

    Attributes:
        position: Place of the case within the period, from 1.
        confidence: In the diagnosis, 0 to 100.
        trust: In the AI, 1 to 5; None where it was not shown.
        visible_seconds: Time that the page was visible, without pauses.
        features: Answers of the patient that were evidence.
    """

    case: str
    arm: str
    period: Position
    position: Position
    diagnosis: str
    second: str | None = None
    third: str | None = None
    confidence: Annotated[float, Field(ge=0, le=100)] | None = None
    management: str | None = None
    trust: Annotated[int, Field(ge=1, le=5)] | None = None
    visible_seconds: Annotated[float, Field(ge=0)]
    drawing: Drawing | None = None
    features: tuple[str, ...] = ()
