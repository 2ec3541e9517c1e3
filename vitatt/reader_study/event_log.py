"""The log of a reader study: events are appended to it, and it is never edited.

An event counts once its line is on disk: `EventLog.append` returns only then. Beside the log,
``events.head`` holds number and digest of its last line, so that lines that are missing at the end
are noticed as well.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vitatt.files import write_text
from vitatt.reader_study.event_chain import (
    LOG,
    Event,
    EventKind,
    Head,
    NewEvent,
    lines_of,
    read_lines,
)
from vitatt.reader_study.log_reading import read_log, write_head
from vitatt.reader_study.study_folder import TamperingError
from vitatt.types import UsageError

_LOCK = "events.lock"
_PATIENCE = 30.0  # seconds to wait for another process


class EventRefusedError(UsageError):
    """An event that could not be written: it did not happen, and nothing of it stays in the log."""


class EventLog:
    """The log of a study that events are appended to, by several threads or processes.

    Args:
        folder: Of the study.
        digest: Of its manifest.

    Attributes:
        torn: File that holds the rest of a write that was cut off, by a power cut or ``kill -9``,
            before this log was opened; None if there was none. Its event was never acknowledged.

    Raises:
        TamperingError: As `read_log`.
        UsageError: If a file cannot be read or written.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder = folder
        self._threads = threading.Lock()
        # One lock for the threads of this process, since waiting for a file lock is polling.
        self._processes = FileLock(folder / _LOCK, timeout=_PATIENCE)
        self.torn: Path | None = None
        with self._locked():
            content = read_log(folder, digest)
            self._events = list(content.events)
            self._head = content.head
            self._file = os.open(folder / LOG, os.O_RDWR | os.O_APPEND)
            self._size = os.fstat(self._file).st_size - len(content.torn)
            self._cut_off(content.torn)
            write_head(self._head, folder)

    @property
    def events(self) -> tuple[Event, ...]:
        """Events of the log, as far as this object has read or written it."""
        with self._threads:
            return tuple(self._events)

    @property
    def head(self) -> Head:
        """End of the log; a copy kept elsewhere proves later that no event is missing."""
        with self._threads:
            return self._head

    def append(
        self,
        kind: EventKind,
        reader: str | None,
        data: Mapping[str, Any],
        time: datetime.datetime | None = None,
    ) -> Event:
        """Write an event and return it once it is on disk.

        Args:
            kind: Of the event.
            reader: Code, or None.
            data: Anything that JSON can hold.
            time: By default now.

        Raises:
            EventRefusedError: If it cannot be written, as on a full disk.
            TamperingError: If the log was changed from outside.
        """
        moment = datetime.datetime.now(datetime.UTC) if time is None else time
        return self.append_all([NewEvent(kind, reader, data, moment)])[0]

    def append_all(self, new: Sequence[NewEvent]) -> list[Event]:
        """Write several events, all or none unless the process is killed, see `append`."""
        with self._locked():
            self._catch_up()
            data, events, head = lines_of(new, self._head)
            try:
                _write(self._file, data)
                os.fsync(self._file)
                write_head(head, self._folder)
            except OSError as error:
                # If even this fails, the next one that opens the log cuts the rest off.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._size)
                    os.fsync(self._file)
                raise EventRefusedError(
                    f"{self._folder / LOG}: the event `{new[0].kind}` cannot be written "
                    f"({error.strerror or error}). It was not recorded: free the disk and send it "
                    "again."
                ) from error
            self._events += events
            self._head = head
            self._size += len(data)
            return events

    def close(self) -> None:
        """Close the file."""
        with self._threads:
            os.close(self._file)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            try:
                self._processes.acquire()
            except (Timeout, OSError) as error:
                raise EventRefusedError(
                    f"{self._folder / _LOCK} cannot be locked ({error}): another process writes "
                    "this log, or the folder cannot be written."
                ) from error
            try:
                yield
            finally:
                self._processes.release()

    def _catch_up(self) -> None:
        """Read events that another process has written, and cut off what it left torn.

        Raises:
            TamperingError: If the log was shortened, replaced or removed, or a new line is wrong.
        """
        path = self._folder / LOG
        size = os.fstat(self._file).st_size
        if not path.exists() or not os.path.samestat(os.fstat(self._file), path.stat()):
            raise TamperingError(f"{path} was removed or replaced while the study runs.")
        if size < self._size:
            raise TamperingError(
                f"{path} was shortened from {self._size} to {size} bytes while the study runs."
            )
        if size == self._size:
            return
        data = os.pread(self._file, size - self._size, self._size)
        complete = data[: data.rfind(b"\n") + 1]
        for event, head in read_lines(complete, self._head):
            self._events.append(event)
            self._head = head
        self._size += len(complete)
        self._cut_off(data[len(complete) :])

    def _cut_off(self, torn: bytes) -> None:
        """Move the rest of a write that was cut off into a file of its own."""
        if not torn:
            return
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
        self.torn = self._folder / f"events.torn-{self._head.events}-{stamp}"
        write_text(torn.decode(errors="backslashreplace"), self.torn)
        os.ftruncate(self._file, self._size)
        os.fsync(self._file)


def _write(file: int, data: bytes) -> None:
    """Write all of the data; the system may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
