"""A reader's steps over HTTP: their order, what is refused, and what is acknowledged."""

from __future__ import annotations

import errno
import os
from typing import Any

import numpy as np
import pytest

from tests.reader_study.serving.conftest import Start, Study
from vitatt.reader_study.evidence_mask import encode_mask
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.serving.sessions import MOST_PAUSES
from vitatt.reader_study.serving.shown import item_of
from vitatt.reader_study.serving.visits import visits_of

MASK = np.zeros((64, 64), dtype=bool)
MASK[10:20, 30:50] = True


def kinds(study: Study) -> list[str]:
    return [event.kind for event in study.events()]


def said(answer: Any) -> str:
    text: str = answer["error"]["message"]
    return text


def test_a_reader_goes_through_the_whole_study(study: Study) -> None:
    assert study.now("r04")["stage"] == "consent"
    study.post("r04", "consent", {"version": "1", "language": "de"})
    assert study.now("r04")["stage"] == "profile"
    study.post("r04", "profile", {"experience": "high"})
    feedback = []
    for place in (1, 2):
        now = study.now("r04")
        assert (now["stage"], now["case"]["place"]["position"]) == ("practice", place)
        feedback.append(study.answer("r04")["feedback"]["truth"])
    assert feedback == [one.truth for one in study.manifest.training_cases]
    for place in range(1, 7):
        now = study.now("r04")
        assert (now["stage"], now["case"]["place"]["position"]) == ("case", place)
        assert set(study.answer("r04")) == {"recorded", "receipt"}
    assert study.now("r04")["stage"] == "locked"
    study.clocks.wait(days=28)
    drawing = {"shape": "brush", "mask": encode_mask(MASK)}
    for place in range(6):
        study.answer("r04", confidence=place, trust=None, drawing=drawing, features=["age"])
    assert study.now("r04") == {"stage": "finished", "code": "r04"}
    table = make_readings(study.manifest, study.events())
    assert table["reader"].to_list() == ["r04"] * 12
    assert table["arm"].to_list() == ["ai"] * 6 + ["no_ai"] * 6
    for period, planned in enumerate(study.manifest.reader_by_code["r04"].schedule, 1):
        cases = table.filter(period=period)["case_id"].to_list()
        assert tuple(cases) == planned.cases
    assert table["confidence"].to_list() == [70.0] * 6 + [0, 1, 2, 3, 4, 5]
    assert table["trust"].to_list() == [3] * 6 + [None] * 6
    assert table["experience"].unique().to_list() == ["high"]
    assert table["evidence_mask"].to_list() == [None] * 6 + [encode_mask(MASK)] * 6
    assert table["evidence_features"].to_list() == ["itch"] * 6 + ["age"] * 6
    assert table["seconds"].to_list() == [4.5] * 12
    (consented,) = (one for one in study.events() if one.kind == "consented")
    assert consented.data == {"version": "1", "language": "de"}


def test_nothing_is_shown_before_consent_and_profile(study: Study) -> None:
    for step in ("answers", "profile"):
        body = {"experience": "low"} if step == "profile" else {}
        assert study.client.post(f"/r/token-r04/{step}", json=body).status_code in (409, 422)
    study.post("r04", "consent", {"version": "0", "language": "en"}, 409)
    study.post("r04", "consent", {"version": "1", "language": "en"})
    assert "case" not in study.now("r04")
    refused = study.post("r04", "profile", {"experience": "none"}, 422)
    assert said(refused) == "Expected `experience` to be one of the bands of the study."
    study.post("r04", "consent", {"version": "1", "language": "en"})  # again
    assert kinds(study) == ["opened", "consented"]


def test_the_same_submission_again_is_acknowledged_and_not_doubled(study: Study) -> None:
    study.begin()
    body = study.answers()
    first = study.post("r01", "answers", body)
    assert study.post("r01", "answers", body) == first
    study.restart()
    assert study.post("r01", "answers", body) == first
    assert kinds(study).count("submitted") == 1
    event = next(one for one in study.events() if one.kind == "submitted")
    assert event.hash.startswith(first["receipt"])


def test_a_second_tab_is_told_that_the_case_is_answered(study: Study) -> None:
    study.begin()
    body = study.answers()
    study.post("r01", "answers", body)
    refused = study.post("r01", "answers", {**body, "submission_id": "another-tab"}, 409)
    assert "answered already, in another window" in said(refused)
    assert kinds(study).count("submitted") == 1


def test_a_case_that_is_not_due_cannot_be_answered(study: Study) -> None:
    study.begin()
    body = study.answers()
    for number in range(40):  # guesses
        study.post("r01", "answers", {**body, "item": f"{number:024d}"}, 404)
    study.begin("r02")
    theirs = study.answers("r02")["item"]
    study.post("r01", "answers", {**body, "item": theirs}, 404)
    # A name of the reader's own that is not due yet, as only the server can make it.
    visits = visits_of(study.manifest, study.manifest.reader_by_code["r01"])
    later = item_of("token-r01", visits[-1])
    assert "not due now" in said(study.post("r01", "answers", {**body, "item": later}, 409))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"diagnosis": "XXX"}, "Expected 1 of the diagnoses of the study, but got 'XXX'"),
    ({"second": "NEV"}, "Expected no answer to `second` here"),
    ({"confidence": None}, "Expected an answer to `confidence` here"),
    ({"confidence": 101}, "confidence: Input should be less than or equal to 100"),
    ({"management": None}, "Expected an answer to `management` here"),
    ({"management": "pray"}, "Expected `management` to be of the study, but got 'pray'"),
    ({"trust": 4}, "Expected no answer to `trust` here"),  # no AI is shown
    ({"seconds": -1}, "seconds: Input should be greater than or equal to 0"),
    ({"features": ["smoke"]}, "Expected `features` to be answers of this case, but got 'smoke'"),
    ({"features": ["age", "age"]}, "Expected each of `features` once"),
    ({"drawing": {"shape": "box", "mask": "AAAA"}}, "but got 3 bytes"),
    ({"drawing": {"shape": "box", "mask": encode_mask(~MASK & MASK)}}, "its mask is empty"),
    ({"drawing": {"shape": "pen", "mask": encode_mask(MASK)}}, "drawing.shape"),
    ({"submission_id": "x"}, "submission_id"),
    ({"truth": "MEL"}, "truth: Extra inputs are not permitted"),
]


def test_answers_that_are_not_asked_for_are_refused(study: Study) -> None:
    study.begin()
    right = study.answers()
    assert right["trust"] is None
    for more, message in WRONG:
        assert message in said(study.post("r01", "answers", {**right, **more}, 422))
    broken = study.client.post("/r/token-r01/answers", content=b"\xff{")
    assert broken.status_code == 422
    assert kinds(study).count("submitted") == 0
    study.post("r01", "answers", right)


def test_three_diagnoses(start: Start) -> None:
    def change(plan: dict[str, Any]) -> None:
        plan["ask"] = plan["ask"] | {"top": 3, "drawing": "box", "management": False}

    study = start(change)
    plain = {"management": None}
    study.post("r01", "consent", {"version": "1", "language": "en"})
    ranks = {"second": "NEV", "third": "BCC"}
    for _ in study.manifest.training_cases:
        study.answer(**plain, **ranks)
    right = study.answers(**plain, **ranks)
    for more, message in (
        ({"third": None}, "Expected 3 of the diagnoses of the study, but got 'none'"),
        ({"third": "NEV"}, "Expected different diagnoses, but got one twice"),
        ({"management": "biopsy"}, "Expected no answer to `management` here"),
        ({"drawing": {"shape": "brush", "mask": encode_mask(MASK)}}, "the tool `brush`"),
    ):
        assert message in said(study.post("r01", "answers", {**right, **more}, 422))
    study.post("r01", "answers", right)
    row = make_readings(study.manifest, study.events()).row(0, named=True)
    assert (row["diagnosis"], row["second"], row["third"]) == ("MEL", "NEV", "BCC")


def test_the_sequential_design_shows_one_arm_after_the_other(start: Start) -> None:
    study = start(design="sequential", cases=2)
    study.begin()
    seen = []
    while (now := study.now())["stage"] == "case":
        case = now["case"]
        seen.append((case["place"]["position"], case["shows_ai"], case["before"]))
        study.answer(diagnosis="NEV" if case["shows_ai"] else "BCC")
    assert [one[:2] for one in seen] == [(1, False), (1, True), (2, False), (2, True)]
    assert [one[2] and one[2]["diagnosis"] for one in seen] == [None, "BCC", None, "BCC"]
    assert now["stage"] == "finished"
    assert make_readings(study.manifest, study.events())["diagnosis"].to_list() == [
        *("BCC", "NEV", "BCC", "NEV")
    ]
    assert kinds(study).count("training_submitted") == 4  # two cases in two arms


def test_visible_time_cannot_be_longer_than_the_time_that_passed(study: Study) -> None:
    study.begin()
    study.now()
    study.clocks.wait(seconds=20)
    study.post("r01", "answers", study.answers(seconds=500.0))
    (event,) = (one for one in study.events() if one.kind == "submitted")
    assert event.data["visible_seconds"] == 20
    assert event.data["reported_seconds"] == 500


def test_pauses(study: Study) -> None:
    study.begin()
    item = study.now()["case"]["item"]
    study.clocks.wait(seconds=30)
    pause = {"item": item, "reason": "button", "seconds": 12.5}
    study.post("r01", "pause", pause)
    study.post("r01", "pause", pause)  # it pauses already
    assert study.now()["paused"]
    study.restart()
    now = study.now()
    assert (now["paused"], now["case"]["seconds"]) == (True, 12.5)
    study.clocks.wait(hours=1)
    study.post("r01", "resume")
    study.post("r01", "resume")
    assert not study.now()["paused"]
    study.post("r01", "pause", {**pause, "item": "another", "reason": "hidden"})
    study.post("r01", "pause", {**pause, "seconds": 1e9, "reason": "idle"})
    events = [(one.kind, one.data) for one in study.events() if "ause" in one.kind]
    assert [data["reason"] for _, data in events] == ["button", "idle"]
    assert events[1][1]["visible_seconds"] == 3630  # no more than has passed
    study.answer(seconds=0)
    assert study.now()["case"]["seconds"] == 0


def test_nobody_fills_the_disk_with_pauses(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PAUSES == 200
    monkeypatch.setattr("vitatt.reader_study.serving.sessions.MOST_PAUSES", 3)
    study.begin()
    pause = {"item": study.now()["case"]["item"], "reason": "hidden", "seconds": 1}
    for _ in range(5):
        study.post("r01", "pause", pause)
        study.post("r01", "resume")
    assert kinds(study).count("paused") == 3


@pytest.mark.parametrize(
    ("rule", "asked", "left_out"),
    [("exclude", False, True), ("keep", True, False), ("ask", True, True), ("ask", False, False)],
)
def test_withdrawal(start: Start, rule: str, asked: bool, left_out: bool) -> None:
    text = {"en": "Read this.", "de": "Text."}
    consent = {"version": "1", "text": text, "withdrawal": rule}
    study = start(lambda plan: plan.update(consent=consent))
    study.begin()
    study.answer()
    body = study.answers()
    study.post("r01", "withdraw", {"exclude": asked})
    study.post("r01", "withdraw", {"exclude": not asked})  # the first one counts
    expected = {"stage": "withdrawn", "code": "r01", "excluded": left_out}
    assert study.now() == expected
    study.post("r01", "answers", body, 409)
    study.restart()
    assert study.now() == expected
    assert make_readings(study.manifest, study.events()).height == (0 if left_out else 1)


def test_the_study_ends(start: Start) -> None:
    study = start(lambda plan: plan["stopping"].update(date="2026-01-10"))
    study.begin()
    study.answer()
    body = study.answers()
    study.clocks.wait(days=5)
    assert study.now()["stage"] == "ended"
    study.post("r01", "answers", body, 409)


def test_on_a_full_disk_the_page_is_told_to_keep_the_answers(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.begin()
    body = study.answers()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        refused = study.post("r01", "answers", body, 507)
        assert "the page keeps your answers and sends them again" in said(refused)
    assert study.now()["case"]["item"] == body["item"]
    study.post("r01", "answers", body)
    assert kinds(study).count("submitted") == 1


def test_a_log_that_is_changed_while_it_runs_takes_nothing_more(study: Study) -> None:
    study.begin()
    body = study.answers()
    path = study.folder / "events.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    refused = study.post("r01", "answers", body, 503)
    assert "files of the study were changed" in said(refused)
    assert str(study.folder) not in said(refused)
    path.write_bytes(data)
    study.post("r01", "answers", body)


def test_an_image_that_is_changed_while_it_runs_is_not_shown(study: Study) -> None:
    study.begin()
    address = study.now()["case"]["images"][0]["address"]
    assert study.client.get(address).status_code == 200
    for path in (study.folder / "images").glob("*.png"):
        path.write_bytes(path.read_bytes() + b"\0")
    assert study.client.get(address).status_code == 503
