"""Begin and read the log of a reader study, and its end as ``events.head`` states it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

from vitatt.files import write_text
from vitatt.reader_study.event_chain import EMPTY, LOG, Event, Head, NewEvent, lines_of, read_lines
from vitatt.reader_study.study_folder import TamperingError
from vitatt.types import UsageError

HEAD = "events.head"
"""Number of events and digest of the last line of the log."""


class LogContent(NamedTuple):
    """A log that was read and verified.

    Attributes:
        events: In their order.
        head: Its end.
        torn: Bytes after the last complete line: a write that was cut off or is going on.
    """

    events: tuple[Event, ...]
    head: Head
    torn: bytes


def create_log(folder: Path, digest: str, time: datetime.datetime) -> None:
    """Begin the log of a study.

    Args:
        folder: Of the study.
        digest: Of its manifest.
        time: Of the first event.
    """
    opened = NewEvent("opened", None, {"manifest": digest}, time)
    data, _, head = lines_of([opened], EMPTY)
    write_text(data.decode(), folder / LOG)
    write_head(head, folder)


def read_log(folder: Path, digest: str) -> LogContent:
    """Return the events of a study, verified; nothing is written.

    Args:
        folder: Of the study.
        digest: Of its manifest.

    Raises:
        TamperingError: If a line was changed, removed, inserted or moved, lines at the end are
            missing, or the log is of another manifest.
        UsageError: If a file cannot be read.
    """
    stated = _read_head(folder)  # before the log, which may grow meanwhile
    try:
        data = (folder / LOG).read_bytes()
    except OSError as error:
        raise UsageError(f"{folder / LOG} cannot be read: {error.strerror}.") from error
    complete = data[: data.rfind(b"\n") + 1]
    events, heads = [], [EMPTY]
    for event, head in read_lines(complete):
        events.append(event)
        heads.append(head)
    if stated.events > len(events):
        raise TamperingError(
            f"{folder / LOG}: events {len(events)} to {stated.events - 1} are missing at the end: "
            f"{HEAD} states {stated.events} events. Restore the log from a backup."
        )
    if heads[stated.events] != stated:
        raise TamperingError(
            f"{folder / LOG}, line {stated.events}: {HEAD} states another digest of it: the log "
            "was written anew. Restore both from a backup."
        )
    if not events or events[0].kind != "opened" or events[0].data.get("manifest") != digest:
        raise TamperingError(
            f"{folder / LOG}, line 1: the log is of another study.json than the one beside it. "
            "Restore both from a backup."
        )
    return LogContent(tuple(events), heads[-1], data[len(complete) :])


def write_head(head: Head, folder: Path) -> None:
    """Write ``events.head``."""
    write_text(f"{head.events} {head.digest}\n", folder / HEAD)


def _read_head(folder: Path) -> Head:
    """The content of ``events.head``.

    Raises:
        TamperingError: If it is missing, or not as it was written.
    """
    try:
        count, digest = (folder / HEAD).read_text(encoding="ascii").split()
        stated = Head(int(count), digest)
        if stated.events < 1:
            raise ValueError("a log has an event at least")
        return stated
    except OSError as error:
        raise TamperingError(
            f"{folder / HEAD} cannot be read ({error.strerror}): without it, nobody can say "
            f"whether events are missing at the end of {LOG}. Restore it from a backup."
        ) from error
    except ValueError as error:  # also of another encoding
        raise TamperingError(
            f"{folder / HEAD} was changed: expected number and digest of the last event. Restore "
            "it from a backup."
        ) from error
