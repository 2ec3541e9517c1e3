"""Data of the events of a reader study, by kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vitatt.reader_study.frozen_model import FrozenModel

Position = Annotated[int, Field(ge=1)]


class Consented(FrozenModel):
    """Data of ``consented``: version of the text, and the language in which it was read."""

    version: str = ""
    language: str = ""


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
        submission_id: Made by the page, so that a repeated request is known as such.
        reported_seconds: `visible_seconds` as the page measured it, if that was more than the time
            between showing and submission.
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
    submission_id: str | None = None
    reported_seconds: float | None = None


class Pause(FrozenModel):
    """Data of ``paused``.

    Attributes:
        reason: The reader's button, no activity for a while, or a page that is not visible.
        visible_seconds: Of this case in this arm so far.
    """

    case: str
    arm: str
    reason: Literal["button", "idle", "hidden"]
    visible_seconds: Annotated[float, Field(ge=0)]


class Withdrawal(FrozenModel):
    """Data of ``withdrawn``; `exclude` says whether readings before it are left out as well."""

    exclude: bool = True


class ClockJump(FrozenModel):
    """Data of ``clock_jumped``: the server's clock moved by this much beside the time that passed.

    Attributes:
        seconds: Negative if it was set back.
    """

    seconds: float
