"""The state of all readers, held in memory and replayed from the log at the start."""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

from vitatt.reader_study.event_chain import Event
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.serving.reader_state import ReaderState
from vitatt.reader_study.serving.visits import Visit
from vitatt.reader_study.submission import ClockJump

Stage = Literal[
    "consent", "profile", "practice", "case", "locked", "finished", "withdrawn", "ended"
]
"""The page that a reader is at; ``locked`` is the wash-out, ``ended`` the end of the study."""


class StudyState:
    """The state of a study.

    Args:
        manifest: Of the study.
        events: Of its verified log.

    Attributes:
        readers: By code.
        latest: The latest time of the log, which the clock may have been set back behind.
        jumps: Of the server's clock, with their times.

    Raises:
        UsageError: If the log holds readings that contradict the plan or stand there twice.
    """

    def __init__(self, manifest: Manifest, events: Sequence[Event]) -> None:
        make_readings(manifest, events)
        self.manifest = manifest
        self.readers = {one.code: ReaderState.of(manifest, one) for one in manifest.readers}
        self.latest = events[0].time
        self.jumps: list[tuple[datetime.datetime, float]] = []
        self._digests = [(one.token_sha256, one.code) for one in manifest.readers]
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Follow an event of the log."""
        self.latest = max(self.latest, event.time)
        if event.kind == "clock_jumped":
            self.jumps.append((event.time, ClockJump.model_validate(event.data).seconds))
        if event.reader in self.readers:
            self.readers[event.reader].apply(event, self.latest)

    def reader_of(self, token: str) -> ReaderState | None:
        """Return the reader whose token this is, in a time that does not tell how close it is."""
        given = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for digest, code in self._digests:
            if hmac.compare_digest(digest, given):
                found = self.readers[code]
        return found

    def stage(self, state: ReaderState, now: datetime.datetime) -> Stage:
        """Return the page that a reader is at."""
        due = state.due
        if state.withdrawal is not None:
            return "withdrawn"
        if due is None or state.readings == state.planned:
            return "finished"
        if self._is_over(now):
            return "ended"
        if state.consent is None:
            return "consent"
        if state.experience is None:
            return "profile"
        if due.practice:
            return "practice"
        opens = self.opens(state, due)
        return "locked" if opens is not None and now < opens else "case"

    def opens(self, state: ReaderState, due: Visit) -> datetime.datetime | None:
        """Return the end of the wash-out before a visit; None if its period has begun.

        A period that has begun stays open, however the clock may jump.
        """
        before = state.ended.get(due.period - 1)
        begun = any(
            one.key in state.shown
            for one in state.visits
            if one.period == due.period and not one.practice
        )
        if before is None or begun:
            return None
        return before + datetime.timedelta(days=self.manifest.washout_days)

    @property
    def readings(self) -> int:
        """Number of submitted readings of all readers."""
        return sum(one.readings for one in self.readers.values())

    def _is_over(self, now: datetime.datetime) -> bool:
        rule = self.manifest.stopping
        late = rule.date is not None and now.date() > rule.date
        return late or self.readings >= rule.readings
