"""Answers that a page sends, and their check against the plan of the study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from vitatt.reader_study.evidence_mask import decode_mask
from vitatt.reader_study.frozen_model import FrozenModel
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.serving.steps import Item
from vitatt.reader_study.serving.visits import Visit
from vitatt.reader_study.submission import Drawing
from vitatt.serving.refusals import Refusal
from vitatt.types import UsageError


class Answers(FrozenModel):
    """All answers on a case in an arm.

    Attributes:
        submission_id: Made by the page; the same when it sends again.
        seconds: Time that the page was visible, without pauses.
    """

    item: Item
    submission_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{8,64}$")]
    diagnosis: str
    second: str | None = None
    third: str | None = None
    confidence: Annotated[float, Field(ge=0, le=100)] | None = None
    management: str | None = None
    trust: Annotated[int, Field(ge=1, le=5)] | None = None
    seconds: Annotated[float, Field(ge=0)]
    drawing: Drawing | None = None
    features: tuple[str, ...] = ()


def check(answers: Answers, manifest: Manifest, visit: Visit) -> None:
    """Check that answers are those that the study asks for.

    Raises:
        Refusal: If one is missing, unknown or not asked for.
    """
    for problem in _problems(answers, manifest, visit):
        raise Refusal(422, problem)


def _problems(answers: Answers, manifest: Manifest, visit: Visit) -> Iterator[str]:
    ask, arm = manifest.ask, manifest.arm_by_name[visit.arm]
    given = [answers.diagnosis, answers.second, answers.third]
    classes = {one.name for one in manifest.classes}
    for name in given[: ask.top]:
        if name not in classes:
            yield f"Expected {ask.top} of the diagnoses of the study, but got '{name or 'none'}'."
    if len(set(given[: ask.top])) < ask.top:
        yield "Expected different diagnoses, but got one twice."
    options = {one.name for one in manifest.management} if ask.management else {None}
    wanted = {
        "second": ask.top == 3,
        "third": ask.top == 3,
        "confidence": ask.confidence,
        "management": ask.management,
        "trust": ask.trust and arm.shows_ai,
    }
    for name, is_wanted in wanted.items():
        if (getattr(answers, name) is not None) != is_wanted:
            yield f"Expected {'an' if is_wanted else 'no'} answer to `{name}` here."
    if answers.management not in options:
        yield f"Expected `management` to be of the study, but got '{answers.management}'."
    shown = set(manifest.case_by_id[visit.case].answers) if ask.features else set()
    if unknown := [one for one in answers.features if one not in shown]:
        yield f"Expected `features` to be answers of this case, but got '{unknown[0][:80]}'."
    if len(set(answers.features)) < len(answers.features):
        yield "Expected each of `features` once."
    yield from _of_drawing(answers.drawing, manifest)


def _of_drawing(drawing: Drawing | None, manifest: Manifest) -> Iterator[str]:
    if drawing is None:
        return
    if manifest.ask.drawing not in (drawing.shape, "both"):
        yield f"Expected no drawing with the tool `{drawing.shape}`."
    try:
        mask = decode_mask(drawing.mask)
    except UsageError as error:
        yield str(error)
        return
    if not mask.any():
        yield "Expected a drawing, but its mask is empty. Send none instead."
