"""Flow of readers and readings through a study."""

from __future__ import annotations

import polars as pl

from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.outcome.record import StudyRecord, planned

UNKNOWN = "unknown"
"""Experience of readers who never gave theirs."""

STEPS = ("invited", "consented", "began", "withdrew", "incomplete", "complete")
"""Columns of `reader_flow`: numbers of readers."""


def reader_flow(record: StudyRecord) -> pl.DataFrame:
    """Numbers of readers at each step, of all and of each band of experience.

    Returns:
        ``experience``, the columns of `STEPS`, ``planned`` and ``counted``: readings. ``began`` are
        those who submitted a reading; of these, ``withdrew`` are those who withdrew afterwards, and
        the others are ``incomplete`` or ``complete``.
    """
    people = reader_table(record)
    rows = [_row(ALL_READERS, people)]
    for band in [*(one.name for one in record.manifest.experience), UNKNOWN]:
        own = people.filter(experience=band)
        if own.height:
            rows.append(_row(band, own))
    return pl.DataFrame(rows)


def reader_table(record: StudyRecord) -> pl.DataFrame:
    """One row for each reader of the plan.

    Returns:
        ``reader``, ``experience``, ``consented``, ``withdrew``, ``submitted`` readings in the log,
        ``counted`` readings in the analysis, and ``planned`` ones.
    """
    consented = {event.reader for event in record.events if event.kind == "consented"}
    submitted: dict[str | None, int] = {}
    for event in record.events:
        if event.kind == "submitted":
            submitted[event.reader] = submitted.get(event.reader, 0) + 1
    counts = record.counts
    rows = [
        {
            "reader": one.code,
            "experience": record.experience.get(one.code, UNKNOWN),
            "consented": one.code in consented,
            "withdrew": one.code in record.withdrawn,
            "submitted": submitted.get(one.code, 0),
            "counted": counts.get(one.code, 0),
            "planned": planned(one),
        }
        for one in record.manifest.readers
    ]
    return pl.DataFrame(rows)


def _row(band: str, people: pl.DataFrame) -> dict[str, object]:
    began = people.filter(pl.col("submitted") > 0)
    staying = began.filter(~pl.col("withdrew"))
    complete = staying.filter(pl.col("counted") >= pl.col("planned")).height
    return {
        "experience": band,
        "invited": people.height,
        "consented": int(people["consented"].sum()),
        "began": began.height,
        "withdrew": began.height - staying.height,
        "incomplete": staying.height - complete,
        "complete": complete,
        "planned": int(people["planned"].sum()),
        "counted": int(people["counted"].sum()),
    }
