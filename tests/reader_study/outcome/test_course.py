"""Flow, deviations and integrity of a study, from logs whose course is known."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.reader_study.simulated_study import Events, write_simulated
from vitatt.reader_study.event_chain import LOG, NewEvent
from vitatt.reader_study.outcome.deviations import deviations
from vitatt.reader_study.outcome.flow import reader_flow
from vitatt.reader_study.outcome.integrity import integrity
from vitatt.reader_study.outcome.record import StudyRecord, read_record

LATER = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def record(folder: Path, **settings: Any) -> StudyRecord:
    write_simulated(folder, cases=6, readers=4, **settings)
    return read_record(folder)


def without(events: Events, reader: str, kind: str, keep: int = 0) -> Events:
    """Leave out events of a kind of a reader but for the first ones."""
    own = [event for event in events if event.reader == reader and event.kind == kind]
    return [event for event in events if not any(event is one for one in own[keep:])]


def course(events: Events) -> Events:
    """r01 stops after 5 readings, r02 withdraws and r03 never begins."""
    events = without(events, "r01", "submitted", keep=5)
    events = [event for event in events if event.reader != "r03"]
    return [*events, NewEvent("withdrawn", "r02", {"exclude": True}, events[-1].time)]


def test_a_study_without_deviations(tmp_path: Path) -> None:
    found = record(tmp_path)
    assert deviations(found) == []
    assert found.is_over(found.last_time)
    everybody = reader_flow(found).row(0, named=True)
    assert everybody == {
        "experience": "all",
        **dict.fromkeys(("invited", "consented", "began", "complete"), 4),
        **{"withdrew": 0, "incomplete": 0, "planned": 48, "counted": 48},
    }


def test_the_flow_of_readers(tmp_path: Path) -> None:
    found = record(tmp_path, events=course)
    rows = {row["experience"]: row for row in reader_flow(found).iter_rows(named=True)}
    names = ("invited", "consented", "began", "withdrew", "incomplete", "complete", "counted")
    assert [rows["all"][name] for name in names] == [4, 3, 3, 1, 1, 1, 17]
    assert sum(rows[band]["invited"] for band in rows if band != "all") == 4
    assert not found.is_over(LATER)  # r01 could go on
    assert deviations(found) == [
        "Reader r03 submitted no reading.",
        "Reader r01 submitted 5 of 12 readings.",
        "Reader r02 withdrew consent; their readings stay in the log and are in no analysis.",
    ]


def test_readings_of_a_reader_who_leaves_them_count(tmp_path: Path) -> None:
    def leave(events: Events) -> Events:
        return [*events, NewEvent("withdrawn", "r02", {"exclude": False}, events[-1].time)]

    found = record(tmp_path, events=leave)
    everybody = reader_flow(found).row(0, named=True)
    assert (everybody["withdrew"], everybody["complete"], everybody["counted"]) == (1, 3, 48)
    assert deviations(found) == []


def test_the_study_is_over_without_the_readers_who_withdrew(tmp_path: Path) -> None:
    def leave(events: Events) -> Events:
        events = without(events, "r02", "submitted", keep=2)
        return [*events, NewEvent("withdrawn", "r02", {"exclude": True}, events[-1].time)]

    found = record(tmp_path, events=leave)
    assert found.readings.height == 36
    assert found.is_over(found.last_time)
    assert deviations(found)[0] == "Reader r02 submitted 2 of 12 readings and withdrew."


def test_the_last_day_ends_the_study(tmp_path: Path) -> None:
    def until(plan: dict[str, Any]) -> None:
        plan["stopping"]["date"] = "2026-01-20"

    found = record(tmp_path, change=until, events=course)
    assert not found.is_over(datetime.datetime(2026, 1, 20, 23, tzinfo=datetime.UTC))
    assert found.is_over(datetime.datetime(2026, 1, 21, 0, 1, tzinfo=datetime.UTC))
    late = [line for line in deviations(found) if "after the last day" in line]
    assert late == ["6 readings were submitted after the last day, 2026-01-20."]


def test_a_short_wash_out_practice_and_order_are_named(tmp_path: Path) -> None:
    def course(events: Events) -> Events:
        events = without(events, "r01", "training_submitted", keep=1)
        of_r02 = [e for e in events if e.reader == "r02" and e.kind == "submitted"]
        moved = {id(of_r02[0]): of_r02[1], id(of_r02[1]): of_r02[0]}
        events = [
            event._replace(data=moved[id(event)].data) if id(event) in moved else event
            for event in events
        ]
        early = datetime.timedelta(days=20)
        return [
            event._replace(time=event.time - early)
            if event.reader == "r03" and event.data.get("period") == 2
            else event
            for event in events
        ]

    assert deviations(record(tmp_path, events=course)) == [
        "Reader r01 did not submit all 2 training cases.",
        "Reader r02 submitted readings in another order than planned.",
        "Reader r03 began period 2 after 9.0 days of wash-out instead of at least 28.",
    ]


def test_integrity_names_jumps_torn_writes_and_impossible_times(tmp_path: Path) -> None:
    def course(events: Events) -> Events:
        first = next(n for n, event in enumerate(events) if event.kind == "submitted")
        data = {**events[first].data, "reported_seconds": 4000.0}
        events[first] = events[first]._replace(data=data)
        back = events[-1].time - datetime.timedelta(hours=1)
        jump = NewEvent("clock_jumped", None, {"seconds": -7200.0}, events[-1].time)
        return [*events, jump, NewEvent("paused", "r01", {}, back)]

    write_simulated(tmp_path, cases=6, readers=4, events=course)
    with (tmp_path / LOG).open("ab") as log:
        log.write(b'{"n":')
    (tmp_path / "events.torn-7-20260105T090000").write_text("{")
    found = dict(integrity(read_record(tmp_path)))
    lines = len((tmp_path / LOG).read_bytes().splitlines())
    assert found["jumps of the server's clock"] == (
        f"2: line {lines - 2}: −7,200 s, line {lines - 1}: −3,600 s".replace("−", "-")
    )
    assert found["writes that were cut off and were never acknowledged"] == (
        "2: events.torn-7-20260105T090000, 5 bytes after the last line"
    )
    assert found["readings with more seconds than passed on the server"].endswith(": 4,000.0 s")
    assert found["images, maps and grids with the SHA-256 of study.json"] == "56 of 56"


def test_a_study_without_any_event_to_name(tmp_path: Path) -> None:
    found = dict(integrity(record(tmp_path)))
    assert [value for value in found.values() if value == "none"] == ["none"] * 3
    assert "submitted 48" in found["events of the log, each with the digest of the one before"]


@pytest.mark.parametrize("name", ["study.json, SHA-256", "last event, SHA-256"])
def test_digests_are_those_of_the_files(tmp_path: Path, name: str) -> None:
    found = record(tmp_path)
    file = "manifest.sha256" if name.startswith("study") else "events.head"
    assert dict(integrity(found))[name] in (tmp_path / file).read_text().split()
