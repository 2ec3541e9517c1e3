"""The table of readings of a study, from its manifest and the events of its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import polars as pl
from pydantic import ValidationError

from vitatt.reader_study.event_chain import LOG, Event
from vitatt.reader_study.frozen_model import first_problem
from vitatt.reader_study.manifest import Manifest, Reader
from vitatt.reader_study.readings_schema import READINGS, score_of
from vitatt.reader_study.study_case import StudyCase
from vitatt.reader_study.submission import Profile, Submission, Withdrawal
from vitatt.types import UsageError

_Kind = TypeVar("_Kind", Profile, Submission, Withdrawal)


def make_readings(manifest: Manifest, events: Sequence[Event]) -> pl.DataFrame:
    """One row for each reader, case and arm that was submitted, in the order of the log.

    Readings of readers who have withdrawn their consent and their data are left out.

    Args:
        manifest: Of the study.
        events: Of its verified log.

    Raises:
        UsageError: If a reading stands in the log twice, is not of the reader's schedule or is
            incomplete; the message names the line.
    """
    withdrawn = withdrawn_readers(events)
    experience = experience_of(manifest, events)
    rows = []
    for line, event, one in _submissions(manifest, events):
        if event.reader in withdrawn:
            continue
        reader = manifest.reader_by_code[str(event.reader)]
        if reader.code not in experience:
            raise UsageError(f"{LOG}, line {line}: reader {reader.code} has no experience band.")
        case = manifest.case_by_id[one.case]
        known = {
            "reader": reader.code,
            "experience": experience[reader.code],
            "submitted": event.time,
        }
        rows.append(known | _of_case(case) | _answers(one, manifest.positive))
    return pl.DataFrame(rows, schema=READINGS)


def withdrawn_readers(events: Sequence[Event]) -> set[str]:
    """Codes of the readers who have withdrawn their consent, and whose readings are left out.

    Raises:
        UsageError: If a withdrawal is not as it is written; the message names the line.
    """
    return {
        event.reader
        for line, event in enumerate(events, 1)
        if event.kind == "withdrawn" and event.reader and _data(event, line, Withdrawal).exclude
    }


def experience_of(manifest: Manifest, events: Sequence[Event]) -> dict[str, str]:
    """Experience band of each reader: that of the manifest, else the one that the reader gave.

    Raises:
        UsageError: If there is no such band; the message names the line.
    """
    found: dict[str, str] = {}
    bands = {one.name for one in manifest.experience}
    for line, event in enumerate(events, 1):
        if event.kind == "profile" and event.reader:
            band = _data(event, line, Profile).experience
            if band not in bands:
                raise UsageError(f"{LOG}, line {line}: there is no experience band '{band}'.")
            found[event.reader] = band
    return found | {one.code: one.experience for one in manifest.readers if one.experience}


def _submissions(
    manifest: Manifest, events: Sequence[Event]
) -> Iterator[tuple[int, Event, Submission]]:
    """Yield submitted readings with their lines.

    Raises:
        UsageError: As `make_readings`.
    """
    seen: dict[tuple[str, str, str], int] = {}
    readers = manifest.reader_by_code
    for line, event in enumerate(events, 1):
        if event.kind != "submitted":
            continue
        one = _data(event, line, Submission)
        reader = readers.get(event.reader or "")
        if reader is None:
            raise UsageError(f"{LOG}, line {line}: there is no reader {event.reader}.")
        if not _scheduled(reader, one):
            raise UsageError(
                f"{LOG}, line {line}: case {one.case} in arm {one.arm} is not number "
                f"{one.position} of period {one.period} of reader {reader.code}."
            )
        if one.diagnosis not in {each.name for each in manifest.classes}:
            raise UsageError(f"{LOG}, line {line}: there is no class {one.diagnosis}.")
        key = (reader.code, one.case, one.arm)
        if key in seen:
            raise UsageError(
                f"{LOG}, line {line}: reader {reader.code} has submitted case {one.case} in arm "
                f"{one.arm} before, in line {seen[key]}. A reading counts once."
            )
        seen[key] = line
        yield line, event, one


def _data(event: Event, line: int, kind: type[_Kind]) -> _Kind:
    """The data of an event.

    Raises:
        UsageError: If they are not those of its kind.
    """
    try:
        return kind.model_validate(event.data, strict=False)
    except ValidationError as error:
        place, found = first_problem(error)
        raise UsageError(
            f"{LOG}, line {line}: this is no `{event.kind}` of this version: {place}: "
            f"{found['msg']}."
        ) from error


def _scheduled(reader: Reader, one: Submission) -> bool:
    if one.period > len(reader.schedule):
        return False
    period = reader.schedule[one.period - 1]
    return one.arm in period.arms and period.cases[one.position - 1 : one.position] == (one.case,)


def _of_case(case: StudyCase) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "group": case.group,
        "truth": case.truth,
        "ai_predicted": case.ai.predicted,
        "ai_probability": case.ai.probabilities[case.ai.predicted],
        "ai_correct": case.stratum.ai_correct,
    }


def _answers(one: Submission, positive: frozenset[str]) -> dict[str, Any]:
    score = None if one.confidence is None else score_of(one.confidence, one.diagnosis, positive)
    drawing = one.drawing
    return {
        "arm": one.arm,
        "period": one.period,
        "position": one.position,
        "diagnosis": one.diagnosis,
        "second": one.second,
        "third": one.third,
        "confidence": one.confidence,
        "score": score,
        "management": one.management,
        "trust": one.trust,
        "seconds": one.visible_seconds,
        "evidence_mask": drawing.mask if drawing else None,
        "evidence_features": ";".join(one.features),
        "drawn_shape": drawing.shape if drawing else None,
    }
