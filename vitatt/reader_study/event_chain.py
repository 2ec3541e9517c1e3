"""Lines of the log of a reader study, each with the digest of the one before it and its own."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from vitatt.reader_study.frozen_model import Digest, FrozenModel, first_problem
from vitatt.reader_study.study_folder import TamperingError, sha256

LOG = "events.jsonl"
"""Name of the log in the folder of a study."""

EventKind = Literal[
    "opened",
    "consented",
    "profile",
    "training_submitted",
    "case_shown",
    "submitted",
    "paused",
    "resumed",
    "withdrawn",
    "clock_jumped",
]
"""Kinds of events. Every log begins with ``opened``, which holds the digest of the manifest."""

_START = "0" * 64
_OWN_DIGEST = re.compile(rb',"hash":"([0-9a-f]{64})"}$')


class NewEvent(NamedTuple):
    """An event that is to be written; `reader` is None if it is the operator's or the server's."""

    kind: EventKind
    reader: str | None
    data: Mapping[str, Any]
    time: datetime.datetime


class Event(FrozenModel):
    """An event of the log.

    Attributes:
        n: Its number, from 0.
        time: Of the server's clock, UTC.
        reader: Code; None if it is the operator's or the server's.
        data: By its kind, see `vitatt.reader_study.submission`.
        previous: Digest of the line before it.
        hash: Digest of this line without this entry.
    """

    n: int
    time: datetime.datetime
    reader: str | None
    kind: EventKind
    data: dict[str, Any]
    previous: Digest
    hash: Digest


class Head(NamedTuple):
    """The end of a log: its number of events, and the digest of the last line."""

    events: int
    digest: str


EMPTY = Head(0, _START)
"""Of a log without events."""


def lines_of(new: Sequence[NewEvent], head: Head) -> tuple[bytes, list[Event], Head]:
    """Return lines that continue a log, with their events and the new end of the log.

    Raises:
        ValueError: If data hold anything that JSON cannot hold.
    """
    lines, events = [], []
    for kind, reader, data, time in new:
        stamp = time.astimezone(datetime.UTC).isoformat(timespec="microseconds")
        entry = {
            "n": head.events,
            "time": stamp.replace("+00:00", "Z"),
            "reader": reader,
            "kind": kind,
            "data": dict(data),
            "previous": head.digest,
        }
        body = json.dumps(entry, separators=(",", ":"), allow_nan=False).encode()
        line = body[:-1] + f',"hash":"{sha256(body)}"}}'.encode()
        lines.append(line + b"\n")
        events.append(Event.model_validate_json(line))
        head = Head(head.events + 1, sha256(line))
    return b"".join(lines), events, head


def read_lines(data: bytes, head: Head = EMPTY) -> Iterator[tuple[Event, Head]]:
    """Yield the events of complete lines that continue a log, each with the end of the log then.

    Args:
        data: Lines, each with its line end.
        head: Of the log before them.

    Raises:
        TamperingError: If a line was changed, removed, inserted or moved; it names the line.
    """
    lines = data.split(b"\n")[:-1]
    first = head.events
    for place, line in enumerate(lines):
        event = _event(line, first + place + 1)
        if event.n != head.events:
            raise TamperingError(_out_of_order(event.n, head.events, lines[place:]))
        if event.previous != head.digest:
            raise TamperingError(
                f"{LOG}, line {head.events + 1}: it does not continue the line before it: one of "
                f"them was written anew. {_RESTORE}"
            )
        head = Head(head.events + 1, sha256(line))
        yield event, head


_RESTORE = "Restore the log from a backup; no reading of this log can be trusted."


def _event(line: bytes, number: int) -> Event:
    """The event of a line.

    Raises:
        TamperingError: If the line is not as it was written.
    """
    own = _OWN_DIGEST.search(line)
    if own is not None and sha256(line[: own.start()] + b"}") == own[1].decode():
        try:
            return Event.model_validate_json(line)
        except ValidationError as error:
            _, found = first_problem(error)
            raise TamperingError(
                f"{LOG}, line {number}: it is no event of this version: {found['msg']}."
            ) from error
    raise TamperingError(f"{LOG}, line {number}: it was changed after it was written. {_RESTORE}")


def _out_of_order(found: int, expected: int, rest: Sequence[bytes]) -> str:
    """The message on event `found` in the place of event `expected`, the first of `rest`."""
    where = f"{LOG}, line {expected + 1}:"
    if found < expected:
        return f"{where} event {found} stands there a second time: it was inserted. {_RESTORE}"
    later = f'{{"n":{expected},'.encode()
    if any(line.startswith(later) for line in rest):
        return f"{where} event {found} stands before event {expected}: lines were moved. {_RESTORE}"
    lost = (
        f"event {expected} is" if found == expected + 1 else f"events {expected} to {found - 1} are"
    )
    return f"{where} {lost} missing before event {found}: lines were removed. {_RESTORE}"
