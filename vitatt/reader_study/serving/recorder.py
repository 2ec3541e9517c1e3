"""Events of several readers are written to the log together, and then followed."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from vitatt.reader_study.event_chain import Event, EventKind, NewEvent
from vitatt.reader_study.event_log import EventLog, EventRefusedError
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.study_state import StudyState
from vitatt.reader_study.study_folder import TamperingError
from vitatt.reader_study.submission import ClockJump
from vitatt.serving.batching import Batcher
from vitatt.serving.refusals import Refusal

_TOGETHER = 64
_WAITING = 1024


class _Asked(NamedTuple):
    kind: EventKind
    reader: str
    data: Mapping[str, Any]


class Recorder:
    """Writes events to the log of a study.

    One thread writes what waits in one go, since the disk takes as long for one event as for many.
    The state follows in the same thread: no event is on disk that the state does not know, even
    if the request that brought it was cancelled meanwhile.

    Args:
        log: Of the study.
        state: Of the study.
        clock: The server's.

    Attributes:
        trouble: Why events were last refused; empty if the last were written.
    """

    def __init__(self, log: EventLog, state: StudyState, clock: StudyClock) -> None:
        self.trouble = ""
        self._log, self._state, self._clock = log, state, clock
        self._jump = 0.0
        self._thread = ThreadPoolExecutor(1, "log")
        self._batches: Batcher[_Asked, Event] = Batcher(
            self._write, self._thread, batch=_TOGETHER, queue=_WAITING
        )

    async def record(self, kind: EventKind, reader: str, data: Mapping[str, Any]) -> Event:
        """Write an event of a reader and return it once it is on disk and the state knows it.

        Raises:
            Refusal: If it cannot be written.
        """
        try:
            return await self._batches(_Asked(kind, reader, data))
        except EventRefusedError as error:
            raise Refusal(
                507 if _is_full(error) else 503,
                "The server cannot write at the moment, as its disk may be full. Nothing is lost: "
                "the page keeps your answers and sends them again.",
                {"retry-after": "5"},
            ) from error
        except TamperingError as error:
            raise Refusal(
                503,
                "The files of the study were changed while it runs. Please tell the person who "
                "sent you the address; the page keeps your answers.",
                {"retry-after": "30"},
            ) from error

    async def close(self) -> None:
        """Stop, after what waits is written."""
        await self._batches.close()
        self._thread.shutdown()

    def _write(self, asked: Sequence[_Asked]) -> list[Event]:
        now = self._clock.now()
        self._jump += self._clock.jump()  # of events that were refused, too
        new = [NewEvent(one.kind, one.reader, one.data, now) for one in asked]
        if self._jump:
            data = ClockJump(seconds=round(self._jump, 3)).model_dump()
            new.insert(0, NewEvent("clock_jumped", None, data, now))
        try:
            events = self._log.append_all(new)
        except (EventRefusedError, TamperingError) as error:
            if str(error) != self.trouble:
                print(error, file=sys.stderr, flush=True)
            self.trouble = str(error)
            raise
        self.trouble, self._jump = "", 0.0
        for event in events:
            self._state.apply(event)
        return events[len(new) - len(asked) :]


def _is_full(error: EventRefusedError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
