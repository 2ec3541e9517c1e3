"""The table of readings, from plan and log."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from tests.reader_study.made_study import CREATED, submission, write_study
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.readings_schema import READINGS
from vitatt.types import UsageError

LATER = CREATED + datetime.timedelta(hours=1)


@pytest.fixture
def opened(tmp_path):
    manifest, digest = write_study(tmp_path)
    with EventLog(tmp_path, digest) as log:
        yield manifest, log


def test_a_reading_is_one_row(opened) -> None:
    manifest, log = opened
    mask = "A" * 682 + "=="
    data = submission(
        manifest,
        "r01",
        2,
        3,
        diagnosis="NEV",
        trust=4,
        management="biopsy",
        drawing={"shape": "box", "mask": mask},
        features=["age", "itch"],
    )
    log.append("submitted", "r01", data, LATER)
    table = make_readings(manifest, log.events)
    assert table.schema == READINGS
    (row,) = table.to_dicts()
    case = manifest.case_by_id[data["case"]]
    assert row == {
        "reader": "r01",
        "experience": "high",
        "arm": "ai",
        "period": 2,
        "position": 3,
        "case_id": case.case_id,
        "group": case.group,
        "truth": case.truth,
        "ai_predicted": case.ai.predicted,
        "ai_probability": 0.7,
        "ai_correct": case.ai.predicted == case.truth,
        "diagnosis": "NEV",
        "second": None,
        "third": None,
        "confidence": 80.0,
        "score": 20.0,  # NEV is not positive
        "management": "biopsy",
        "trust": 4,
        "seconds": 12.5,
        "submitted": LATER,
        "evidence_mask": mask,
        "evidence_features": "age;itch",
        "drawn_shape": "box",
    }


def test_experience_is_asked_if_the_plan_has_none(opened) -> None:
    manifest, log = opened
    log.append("submitted", "r04", submission(manifest, "r04", 1, 1))
    with pytest.raises(UsageError, match="line 2: reader r04 has no experience band"):
        make_readings(manifest, log.events)
    log.append("profile", "r04", {"experience": "low"})
    assert make_readings(manifest, log.events)["experience"].to_list() == ["low"]


def test_readers_who_withdraw_are_left_out(opened) -> None:
    manifest, log = opened
    for reader in ("r01", "r02"):
        log.append("submitted", reader, submission(manifest, reader, 1, 1))
    log.append("withdrawn", "r01", {})
    assert make_readings(manifest, log.events)["reader"].to_list() == ["r02"]


def test_training_is_no_reading(opened) -> None:
    manifest, log = opened
    data = submission(manifest, "r01", 1, 1) | {"case": "t000"}
    log.append("training_submitted", "r01", data)
    assert make_readings(manifest, log.events).height == 0


def test_a_reading_counts_once(opened) -> None:
    manifest, log = opened
    for _ in range(2):
        log.append("submitted", "r01", submission(manifest, "r01", 1, 1))
    with pytest.raises(UsageError, match=r"line 3: reader r01 has submitted .* before, in line 2"):
        make_readings(manifest, log.events)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"case": "c999"}, "case c999 in arm no_ai is not number 1 of period 1 of reader r01"),
    ({"case": "t000"}, "case t000 in arm"),
    ({"arm": "ai"}, "in arm ai is not number 1 of period 1"),
    ({"period": 3}, "is not number 1 of period 3"),
    ({"position": 2}, "is not number 2 of period 1"),
    ({"diagnosis": "XXX"}, "there is no class XXX"),
    ({"confidence": 101.0}, "confidence: Input should be less than or equal to 100"),
    ({"trust": 6}, "trust: Input should be less than or equal to 5"),
    ({"visible_seconds": -1.0}, "visible_seconds: Input should be greater than or equal to 0"),
    ({"more": 1}, "more: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("more", "said"), WRONG)
def test_wrong_readings_are_named_by_line(opened, more, said) -> None:
    manifest, log = opened
    log.append("submitted", "r01", submission(manifest, "r01", 1, 1) | more)
    with pytest.raises(UsageError, match=f"events.jsonl, line 2: .*{re.escape(said)}"):
        make_readings(manifest, log.events)


def test_an_unknown_reader_is_named(opened) -> None:
    manifest, log = opened
    log.append("submitted", "r99", submission(manifest, "r01", 1, 1))
    with pytest.raises(UsageError, match="line 2: there is no reader r99"):
        make_readings(manifest, log.events)
