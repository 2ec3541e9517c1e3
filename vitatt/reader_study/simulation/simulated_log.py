"""A log of simulated readings, written as the server writes one of real readers."""

from __future__ import annotations

import datetime
from typing import Any

import polars as pl

from vitatt.reader_study.event_chain import NewEvent
from vitatt.reader_study.manifest import Manifest, Reader
from vitatt.reader_study.simulation.study_arrays import bands_of
from vitatt.reader_study.submission import CaseShown, Drawing, Profile, Submission

SIMULATED = " (simulated readers)"
"""End of the name of a study whose readers are simulated, not to be taken for a real one."""

_MINUTE = datetime.timedelta(minutes=1)


def simulated_events(manifest: Manifest, readings: pl.DataFrame) -> list[NewEvent]:
    """Return the events of simulated readings in the order of their time.

    Args:
        manifest: Of the study.
        readings: Simulated ones.
    """
    bands = dict(zip((one.code for one in manifest.readers), bands_of(manifest), strict=True))
    events: list[NewEvent] = []
    for (code,), own in readings.group_by("reader", maintain_order=True):
        reader = manifest.reader_by_code[str(code)]
        begin = own["submitted"].min()
        assert isinstance(begin, datetime.datetime)
        events.append(NewEvent("consented", reader.code, {}, begin - 4 * _MINUTE))
        if reader.experience is None:
            band = manifest.experience[bands[reader.code]].name
            profile = Profile(experience=band).model_dump()
            events.append(NewEvent("profile", reader.code, profile, begin - 3 * _MINUTE))
        events += _practice(manifest, reader, begin - 2 * _MINUTE)
        for row in own.iter_rows(named=True):
            events += _of_reading(row)
    return sorted(events, key=lambda one: one.time)


def _practice(manifest: Manifest, reader: Reader, time: datetime.datetime) -> list[NewEvent]:
    """Training cases, all diagnosed right, in the reader's arms by turns."""
    arms = tuple(dict.fromkeys(arm for period in reader.schedule for arm in period.arms))
    events = []
    for place, case in enumerate(manifest.training_cases):
        submitted = Submission(
            case=case.case_id,
            arm=arms[place % len(arms)],
            period=1,
            position=place + 1,
            diagnosis=case.truth,
            visible_seconds=10.0,
        )
        data = submitted.model_dump(mode="json")
        events.append(NewEvent("training_submitted", reader.code, data, time))
    return events


def _of_reading(row: dict[str, Any]) -> list[NewEvent]:
    place = {name: row[name] for name in ("arm", "period", "position")} | {"case": row["case_id"]}
    shown = row["submitted"] - datetime.timedelta(seconds=row["seconds"])
    drawing = (
        Drawing(shape=row["drawn_shape"], mask=row["evidence_mask"]) if row["drawn_shape"] else None
    )
    submitted = Submission(
        **place,
        **{name: row[name] for name in ("diagnosis", "second", "third", "confidence")},
        management=row["management"],
        trust=row["trust"],
        visible_seconds=row["seconds"],
        drawing=drawing,
        features=tuple(filter(None, row["evidence_features"].split(";"))),
    )
    return [
        NewEvent(
            "case_shown",
            row["reader"],
            CaseShown(**place, monotonic=shown.timestamp()).model_dump(),
            shown,
        ),
        NewEvent("submitted", row["reader"], submitted.model_dump(mode="json"), row["submitted"]),
    ]
