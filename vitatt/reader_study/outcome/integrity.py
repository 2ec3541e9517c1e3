"""Integrity of a study's record: digests, events, jumps of the clock, writes that were cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import ValidationError

from vitatt.reader_study.outcome.record import StudyRecord
from vitatt.reader_study.submission import ClockJump, Submission
from vitatt.types import UsageError

_TOLERANCE = 5.0
"""Seconds by which a time may lie before that of the event before it, as two programs write."""


def integrity(record: StudyRecord) -> list[tuple[str, str]]:
    """Checks with what they found, in the order of the report.

    Raises:
        UsageError: If an event is not as it is written; the message names the line.
    """
    kinds = Counter(event.kind for event in record.events)
    manifest = record.manifest
    return [
        ("study.json, SHA-256", record.digest),
        ("its digest in manifest.sha256 and in the first event", "equal"),
        (
            "images, maps and grids with the SHA-256 of study.json",
            f"{len(manifest.files()):,} of {len(manifest.files()):,}",
        ),
        ("checkpoint of the AI, SHA-256", manifest.source.checkpoint_sha256),
        (
            "events of the log, each with the digest of the one before",
            f"{len(record.events):,}: "
            + ", ".join(f"{name} {count:,}" for name, count in sorted(kinds.items())),
        ),
        ("last event, SHA-256", record.head.digest),
        ("writes that were cut off and were never acknowledged", _list(record.torn)),
        ("jumps of the server's clock", _list(list(_jumps(record)))),
        ("readings with more seconds than passed on the server", _list(list(_long(record)))),
    ]


def _jumps(record: StudyRecord) -> Iterator[str]:
    """Jumps that the server noticed, and times before those of the event before."""
    last = record.events[0].time
    for line, event in enumerate(record.events, 1):
        if event.kind == "clock_jumped":
            try:
                jump = ClockJump.model_validate(event.data, strict=False)
            except ValidationError as error:
                raise UsageError(
                    f"events.jsonl, line {line}: this is no jump of a clock."
                ) from error
            yield f"line {line}: {jump.seconds:+,.0f} s"
        elif (last - event.time).total_seconds() > _TOLERANCE:
            yield f"line {line}: {(event.time - last).total_seconds():+,.0f} s"
        last = event.time


def _long(record: StudyRecord) -> Iterator[str]:
    """Readings whose page measured more time than the server; the server's was taken."""
    for line, event in enumerate(record.events, 1):
        if event.kind == "submitted":
            one = Submission.model_validate(event.data, strict=False)
            if one.reported_seconds is not None and one.reported_seconds > one.visible_seconds:
                yield f"line {line}: {one.reported_seconds:,.1f} s"


def _list(found: list[str] | tuple[str, ...]) -> str:
    if not found:
        return "none"
    shown = ", ".join(found[:5])
    return f"{len(found)}: {shown}" + (", ..." if len(found) > 5 else "")
