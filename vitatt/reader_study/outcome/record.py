"""Everything that the folder of a study records, after it was verified."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import polars as pl

from vitatt.reader_study.event_chain import Event, Head
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.manifest import Manifest, Reader
from vitatt.reader_study.readings import experience_of, make_readings, withdrawn_readers
from vitatt.reader_study.study_folder import check_files, read_manifest


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """A study as its folder has it.

    Attributes:
        folder: Of the study.
        manifest: The frozen plan.
        digest: SHA-256 of the plan.
        events: Of the verified log.
        head: End of the log.
        torn: Names of files with the rest of a write that was cut off.
        readings: As `READINGS` has them, without readers who withdrew their data.
        experience: Band of each reader who gave one, by code.
        excluded: Codes of readers who withdrew their data.
    """

    folder: Path
    manifest: Manifest
    digest: str
    events: tuple[Event, ...]
    head: Head
    torn: tuple[str, ...]
    readings: pl.DataFrame
    experience: dict[str, str]
    excluded: frozenset[str]

    @property
    def withdrawn(self) -> frozenset[str]:
        """Codes of all readers who withdrew, whether or not their readings count."""
        return frozenset(
            event.reader for event in self.events if event.kind == "withdrawn" and event.reader
        )

    @property
    def last_time(self) -> datetime.datetime:
        """Time of the last event."""
        return self.events[-1].time

    def is_over(self, now: datetime.datetime) -> bool:
        """Whether the study has ended by its stopping rule, so that no result unblinds it.

        It has if all readings of the readers who did not withdraw are there, if as many readings
        as planned are, or if its last day is over.
        """
        rule = self.manifest.stopping
        if rule.date is not None and now.astimezone(datetime.UTC).date() > rule.date:
            return True
        if self.readings.height >= rule.readings:
            return True
        counts = self.counts
        staying = [one for one in self.manifest.readers if one.code not in self.withdrawn]
        return bool(staying) and all(counts.get(one.code, 0) >= planned(one) for one in staying)

    @property
    def counts(self) -> dict[str, int]:
        """Number of readings of each reader who has any, by code."""
        return dict(self.readings.group_by("reader").len().iter_rows())


def read_record(folder: Path) -> StudyRecord:
    """Read a study, and verify plan, files and log.

    Raises:
        TamperingError: If a file or a line of the log is not as it was written.
        UsageError: If the folder is no study, or a reading is not of its plan.
    """
    manifest, digest = read_manifest(folder)
    check_files(manifest, folder)
    log = read_log(folder, digest)
    torn = sorted(path.name for path in folder.glob("events.torn-*"))
    if log.torn:
        torn.append(f"{len(log.torn)} bytes after the last line")
    return StudyRecord(
        folder=folder,
        manifest=manifest,
        digest=digest,
        events=log.events,
        head=log.head,
        torn=tuple(torn),
        readings=make_readings(manifest, log.events),
        experience=experience_of(manifest, log.events),
        excluded=frozenset(withdrawn_readers(log.events)),
    )


def planned(reader: Reader) -> int:
    """Number of readings that a reader's schedule has."""
    return sum(len(period.cases) * len(period.arms) for period in reader.schedule)
