"""The state of a reader, which follows from the events of the log alone."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import NamedTuple

from vitatt.reader_study.event_chain import Event
from vitatt.reader_study.manifest import Manifest, Reader
from vitatt.reader_study.serving.visits import Visit, visits_of
from vitatt.reader_study.submission import (
    CaseShown,
    Consented,
    Pause,
    Profile,
    Submission,
    Withdrawal,
)

Key = tuple[str, str]


class Recorded(NamedTuple):
    """A submission of the log.

    Attributes:
        receipt: Beginning of the digest of its line, by which it can be found again.
    """

    submission: Submission
    time: datetime.datetime
    receipt: str


class Shown(NamedTuple):
    """When a case was first shown, by the server's clock and by the one that never jumps."""

    time: datetime.datetime
    monotonic: float


@dataclass
class ReaderState:
    """A reader's place in the study.

    Attributes:
        reader: Of the plan.
        visits: In their order.
        consent: None before it.
        experience: Band; None if it is not known yet.
        recorded: Submissions, also those of practice.
        readings: Number of submissions without those of practice.
        shown: When each case was first shown.
        ended: Time of the last reading of each period, see `apply`.
        visible_seconds: Of the visit that is due, as far as a pause has told.
        pauses: Their number in the visit that is due.
        all_pauses: Their number in all.
        paused_since: Time of a pause that has not ended.
        paused_seconds: Time of the pauses that have ended.
        last_activity: Time of the last event.
        withdrawal: If the reader has withdrawn.
    """

    reader: Reader
    visits: tuple[Visit, ...]
    consent: Consented | None = None
    experience: str | None = None
    recorded: dict[Key, Recorded] = field(default_factory=dict)
    readings: int = 0
    shown: dict[Key, Shown] = field(default_factory=dict)
    ended: dict[int, datetime.datetime] = field(default_factory=dict)
    visible_seconds: float = 0.0
    pauses: int = 0
    all_pauses: int = 0
    paused_since: datetime.datetime | None = None
    paused_seconds: float = 0.0
    last_activity: datetime.datetime | None = None
    withdrawal: Withdrawal | None = None

    @classmethod
    def of(cls, manifest: Manifest, reader: Reader) -> ReaderState:
        """Return the state before any event."""
        return cls(reader, visits_of(manifest, reader), experience=reader.experience)

    @property
    def due(self) -> Visit | None:
        """The visit that is next; None if all are done."""
        return next((one for one in self.visits if one.key not in self.recorded), None)

    @property
    def planned(self) -> int:
        """Number of planned readings, without practice."""
        return sum(not one.practice for one in self.visits)

    def apply(self, event: Event, latest: datetime.datetime) -> None:
        """Follow an event of this reader.

        Args:
            event: The event.
            latest: The latest time of the log up to it. The wash-out begins then rather than at
                the event's own time, so that a clock that was set back for a while shortens none.
        """
        self.last_activity = event.time
        if event.kind == "consented":
            self.consent = Consented.model_validate(event.data)
        elif event.kind == "profile":
            self.experience = self.experience or Profile.model_validate(event.data).experience
        elif event.kind == "case_shown":
            one = CaseShown.model_validate(event.data)
            self.shown.setdefault((one.case, one.arm), Shown(event.time, one.monotonic))
        elif event.kind in ("submitted", "training_submitted"):
            self._submitted(event, latest)
        elif event.kind == "paused":
            pause = Pause.model_validate(event.data)
            self.visible_seconds = max(self.visible_seconds, pause.visible_seconds)
            self.pauses, self.all_pauses = self.pauses + 1, self.all_pauses + 1
            self.paused_since = event.time
        elif event.kind == "resumed":
            self._resumed(event.time)
        elif event.kind == "withdrawn":
            self.withdrawal = Withdrawal.model_validate(event.data)

    def _submitted(self, event: Event, latest: datetime.datetime) -> None:
        one = Submission.model_validate(event.data, strict=False)  # tuples are lists in JSON
        self.recorded[one.case, one.arm] = Recorded(one, event.time, event.hash[:16])
        if event.kind == "submitted":
            self.ended[one.period] = latest
            self.readings += 1
        self._resumed(event.time)
        self.visible_seconds, self.pauses = 0.0, 0

    def _resumed(self, time: datetime.datetime) -> None:
        if self.paused_since is not None:
            self.paused_seconds += max(0.0, (time - self.paused_since).total_seconds())
        self.paused_since = None
