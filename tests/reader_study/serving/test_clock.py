"""The wash-out by the server's clock, which somebody may set."""

from __future__ import annotations

import datetime

from tests.reader_study.serving.conftest import Study


def jumps(study: Study) -> list[float]:
    return [one.data["seconds"] for one in study.events() if one.kind == "clock_jumped"]


def first_period(study: Study, reader: str = "r01") -> None:
    study.begin(reader)
    while study.now(reader)["stage"] == "case":
        study.answer(reader)


def test_the_next_period_opens_after_the_wash_out(study: Study) -> None:
    first_period(study)
    ended = study.clocks.time
    assert study.now() == {
        "stage": "locked",
        "code": "r01",
        "opens": (ended + datetime.timedelta(days=28)).isoformat().replace("+00:00", "Z"),
    }
    study.restart()
    study.clocks.wait(days=27, hours=23)
    assert study.now()["stage"] == "locked"
    study.clocks.wait(hours=1)
    assert study.now()["stage"] == "case"
    assert jumps(study) == []


def test_a_clock_that_is_set_back_unlocks_nothing_and_is_recorded(study: Study) -> None:
    """Set back for the last case of a period and then right again: no wash-out would be left."""
    study.begin()
    for _ in range(5):
        study.answer()
    study.clocks.set_by(days=-40)
    study.answer()
    study.clocks.set_by(days=40)
    assert study.now()["stage"] == "locked"
    study.clocks.wait(days=27)
    assert study.now()["stage"] == "locked"
    study.clocks.wait(days=2)
    assert study.now()["stage"] == "case"
    assert [round(one / 86400) for one in jumps(study)] == [-40, 40]


def test_a_clock_that_is_set_back_while_no_server_runs_is_noticed(study: Study) -> None:
    first_period(study)
    study.clocks.set_by(hours=-5)
    study.restart()
    study.begin("r02")
    (jump,) = jumps(study)
    assert -5 * 3600 - 60 < jump < -5 * 3600 + 120
    assert study.now()["stage"] == "locked"


def test_a_clock_that_is_set_forward_is_recorded(study: Study) -> None:
    study.begin()
    study.clocks.set_by(hours=2)
    study.answer()
    assert jumps(study) == [7200]


def test_a_period_that_has_begun_stays_open(study: Study) -> None:
    first_period(study)
    study.clocks.wait(days=28)
    assert study.now()["stage"] == "case"
    study.clocks.set_by(days=-20)
    assert study.now()["stage"] == "case"
    study.answer()


def test_a_clock_that_is_set_by_the_network_is_no_jump(study: Study) -> None:
    study.begin()
    for _ in range(4):
        study.clocks.set_by(seconds=-2)
        study.answer()
    assert jumps(study) == []


def test_time_is_counted_by_the_clock_that_does_not_jump(study: Study) -> None:
    study.begin()
    study.now()
    study.clocks.set_by(hours=-1)
    study.clocks.wait(seconds=30)
    study.post("r01", "answers", study.answers(seconds=25.0))
    (event,) = (one for one in study.events() if one.kind == "submitted")
    assert event.data["visible_seconds"] == 25
    assert event.data["reported_seconds"] is None
