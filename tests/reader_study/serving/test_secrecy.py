"""Readers try to see other cases, the truth, and results; they do not."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.reader_study.serving.conftest import OPERATOR_TOKEN, Start, Study
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.serving.addresses import opaque
from vitatt.reader_study.serving.operator_view import COOKIE
from vitatt.serving.guards import HEADERS


def with_marks(plan: dict[str, Any]) -> None:
    """Everything that is secret becomes a word that is found wherever it is sent."""
    for case in plan["cases"] + plan["training_cases"]:
        case["source_id"] = f"SECRET-source-{case['case_id']}"
        case["group"] = f"SECRET-group-{case['case_id']}"
        case["stratum"] |= {"skin_type": "SECRET-skin"}
    plan["name"] = "SECRET-name"
    plan["question"] = "SECRET-question"
    plan["source"] |= {"dataset": "SECRET-dataset", "fold": "SECRET-fold"}


@pytest.fixture
def marked(start: Start) -> Study:
    return start(with_marks, cases=4)


def everything_shown(study: Study, reader: str) -> str:
    """The page and every answer of the server that a reader gets now."""
    texts = [study.client.get(f"/r/token-{reader}").text]
    texts += [study.client.get(f"/r/token-{reader}?lang=de").text, json.dumps(study.now(reader))]
    return "\n".join(texts)


def opens(study: Study, address: str) -> bool:
    return study.client.get(address).status_code == 200


def addresses(case: dict[str, Any]) -> list[str]:
    found = [[one["address"], one["map"]] for one in case["images"]]
    return [one for one in itertools.chain(*found) if one]


def test_no_answer_holds_a_secret(marked: Study) -> None:
    """Through all of both periods: names of sources, strata, and the truth of the case."""
    manifest = marked.manifest
    secrets = re.compile(r"SECRET|c00\d|t00\d|ai_correct|stratum|difficulty|truth\b|\.npy|PAT_")
    texts = [everything_shown(marked, "r01")]
    marked.begin()
    classes = json.dumps([{"name": one.name, "title": one.title} for one in manifest.classes])
    acknowledged = []
    for period in (1, 2):
        while (now := marked.now())["stage"] == "case":
            case = now["case"]
            texts.append(everything_shown(marked, "r01"))
            # The classes stand in the page in the order of the plan, whatever the case.
            assert classes.replace('"', "&#34;") in texts[-1] or classes in texts[-1]
            plain = json.dumps(case)
            named = {one.name for one in manifest.classes if one.name in plain}
            assert named == (set() if period == 1 else {one.name for one in manifest.classes})
            acknowledged.append(json.dumps(marked.answer()))
        marked.clocks.wait(days=28)
    assert len(acknowledged) == 8
    for text in texts + acknowledged:
        cleaned = text.replace('"feedback_truth"', "")
        assert not secrets.search(cleaned), secrets.search(cleaned)
    assert not any("NEV" in one or "MEL" in one or "BCC" in one for one in acknowledged)


def test_the_order_of_what_is_sent_does_not_follow_the_truth(marked: Study) -> None:
    marked.begin("r02")  # with AI first
    seen = set()
    while (now := marked.now("r02"))["stage"] == "case":
        seen.add(tuple(now["case"]["probabilities"]))
        marked.answer("r02")
    assert seen == {tuple(one.name for one in marked.manifest.classes)}


def test_an_arm_shows_what_the_plan_says_and_nothing_else(start: Start) -> None:
    study = start(design="sequential", cases=2)
    study.begin()
    before = study.now()["case"]
    ai = ("probabilities", "predicted", "evidence")
    assert [before[name] for name in ai] == [None, None, None]
    assert [one["map"] for one in before["images"]] == [None]
    (visit,) = [one for one in study.manifest.cases if one.case_id == planned(study)[0]]
    map_file = visit.maps["tmme"][0].file
    # Its address in the next arm, which only this reader could compute, does not open yet.
    later = f"/r/token-r01/files/{opaque('token-r01', 'file', 'ai', map_file)}"
    assert not opens(study, later)
    study.answer()
    after = study.now()["case"]
    assert after["images"][0]["map"] == later
    assert opens(study, later)
    assert None not in [after[name] for name in ai]
    assert after["probabilities"] == visit.ai.probabilities


def planned(study: Study, reader: str = "r01") -> tuple[str, ...]:
    return study.manifest.reader_by_code[reader].schedule[0].cases


def test_only_the_images_of_the_case_that_is_due_open(study: Study) -> None:
    study.begin()
    first = addresses(study.now()["case"])
    assert all(opens(study, one) for one in first)
    study.answer()
    second = addresses(study.now()["case"])
    assert not any(opens(study, one) for one in first), "that case is answered"
    assert all(opens(study, one) for one in second)
    assert set(first).isdisjoint(second)
    while study.now()["stage"] == "case":
        last = addresses(study.now()["case"])
        study.answer()
    assert not any(opens(study, one) for one in last), "the wash-out"


def test_another_reader_opens_nothing(study: Study) -> None:
    for reader in ("r01", "r02"):
        study.begin(reader)
    mine, theirs = (addresses(study.now(one)["case"]) for one in ("r01", "r02"))
    for one in theirs:
        assert opens(study, one)
        assert not opens(study, one.replace("token-r02", "token-r01"))
    for one in mine:
        assert not opens(study, one.replace("token-r01", "token-r02"))
    names = {one.rsplit("/", 1)[1] for one in mine + theirs}
    assert len(names) == len(mine + theirs)


def test_other_tokens_open_nothing(study: Study) -> None:
    study.begin()
    (address, *_) = addresses(study.now()["case"])
    for token in ("", "r01", "token-r0", "token-r011", "TOKEN-R01", "token-r01%00", OPERATOR_TOKEN):
        for step in ("", "/now", "/answers", "/withdraw", address.rpartition("/r/")[2][9:]):
            for answer in (
                study.client.get(f"/r/{token}{step}"),
                study.client.post(f"/r/{token}{step}", json={"exclude": True}),
            ):
                assert answer.status_code in (404, 405, 422), (token, step)
                assert "Title of" not in answer.text
    digest = study.manifest.reader_by_code["r01"].token_sha256
    assert study.client.post(f"/r/{digest}/now").status_code == 404
    assert study.now()["stage"] == "case", "nobody has withdrawn"


TRICKS = [
    "study.json",
    "../study.json",
    "..%2fstudy.json",
    "%2e%2e%2fstudy.json",
    "..%5cstudy.json",
    "images/c001.png",
    "images%2fc001.png",
    "../images/c001.png",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "events.jsonl",
    "tokens.csv",
    "manifest.sha256",
    "serve.lock",
    "..",
    "%00",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_files_of_the_study_do_not_open(study: Study, trick: str) -> None:
    study.begin()
    for base in ("/static/", "/r/token-r01/files/", "/r/token-r01/", "/", "/operator/"):
        answer = study.client.get(f"{base}{trick}", follow_redirects=False)
        text = answer.text
        is_page = answer.status_code == 200 and "Please open the address" in text
        assert is_page or answer.status_code in (307, 404, 405)
        for secret in ("token_sha256", "source_id", "root:", "previous", "\x89PNG"):
            assert secret not in text


def test_there_is_no_description_of_the_server(study: Study) -> None:
    for path in ("/openapi.json", "/docs", "/redoc", "/metrics", "/v1/model", "/login"):
        answer = study.client.get(path)
        assert answer.status_code == 404
        assert answer.json() == {"error": {"message": f"There is no '{path}'."}}


def test_every_answer_has_the_headers(study: Study) -> None:
    study.begin()
    image = study.now()["case"]["images"][0]["address"]
    for path in ("/", "/r/token-r01", "/r/x", "/static/study.js", image, "/operator", "/nothing"):
        headers = study.client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert "server" not in headers
    other = study.client.get("/", headers={"host": "elsewhere.example"})
    assert other.status_code == 421


def test_images_keep_nothing_but_pixels(study: Study) -> None:
    study.begin()
    content = study.client.get(study.now()["case"]["images"][0]["address"]).content
    case = study.manifest.case_by_id[planned(study)[0]]
    assert content == (study.folder / case.images[0].file).read_bytes()


def results(manifest: Manifest) -> list[str]:
    """Words that would give a result or a stratum away."""
    strata = {one.stratum.difficulty for one in manifest.cases}
    return [*strata, *(one.name for one in manifest.classes), "accuracy", "correct", "skin"]


def test_the_operator_sees_progress_without_results(study: Study) -> None:
    assert 'type="password"' in study.client.get("/operator").text
    for token in ("", "token-r01", OPERATOR_TOKEN[:-1]):
        answer = study.client.post("/operator", data={"token": token}, follow_redirects=False)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        headers = {"authorization": f"Bearer {token}"}
        assert "0 / 12" not in study.client.get("/operator", headers=headers).text
    signed = study.client.post("/operator", data={"token": OPERATOR_TOKEN}, follow_redirects=False)
    assert signed.status_code == 303
    cookie = signed.headers["set-cookie"].lower()
    assert all(one in cookie for one in ("httponly", "samesite=strict", "path=/operator"))
    assert COOKIE in cookie

    study.begin()
    for _ in range(2):
        study.answer()
    pause = {"item": study.now()["case"]["item"], "reason": "button", "seconds": 1}
    study.post("r01", "pause", pause)
    study.begin("r02")
    study.post("r02", "withdraw", {"exclude": True})
    text = study.client.get("/operator").text
    words = re.sub(r"<[^>]*>|\s+", " ", text)
    assert re.search(
        r"r01 +cases +2 / 2 +2 / 12 +2026-01-06 09:0\d UTC +1 \(0 min\) · pauses", words
    )
    assert re.search(r"r02 +withdrawn +2 / 2 +0 / 12", words)
    assert re.search(r"r03 +before consent +0 / 2 +0 / 12 +–", words)
    head = (study.folder / "events.head").read_text().split()
    assert f"{head[0]} events" in words
    assert head[1] in words
    for word in results(study.manifest):
        assert word not in words
    assert "token-" not in text
    study.client.post("/operator/sign-out")
    assert "0 / 12" not in study.client.get("/operator").text


def test_a_readers_page_does_not_open_for_the_operator(study: Study) -> None:
    headers = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
    assert study.client.get("/r/token-r09", headers=headers).status_code == 404


def test_practice_alone_tells_the_truth(study: Study) -> None:
    study.post("r01", "consent", {"version": "1", "language": "en"})
    answers = [study.answer() for _ in study.manifest.training_cases]
    assert all("truth" in one["feedback"] for one in answers)
    assert "feedback" not in study.answer()


def test_only_one_module_reads_what_is_secret() -> None:
    """Truth is read for the feedback of practice alone; source, group and stratum nowhere."""
    folder = Path(__file__).parents[3] / "vitatt" / "reader_study" / "serving"
    readers = {
        word: [
            path.name for path in folder.glob("*.py") if re.search(rf"\.{word}\b", path.read_text())
        ]
        for word in ("truth", "source_id", "group", "stratum", "relevance")
    }
    assert readers == {
        "truth": ["sessions.py"],
        "source_id": [],
        "group": [],
        "stratum": [],
        "relevance": [],
    }
