"""A request that is cancelled while its answers are written: they count once, and are known."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.reader_study.serving.conftest import Clocks, make_study
from vitatt.reader_study import event_log
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.serving.answers import Answers
from vitatt.reader_study.serving.recorder import Recorder
from vitatt.reader_study.serving.sessions import Sessions
from vitatt.reader_study.serving.steps import Agreed
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.study_state import StudyState
from vitatt.reader_study.study_folder import read_manifest
from vitatt.serving.refusals import Refusal


def test_a_cancelled_request_does_not_let_a_second_one_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path, lambda plan: plan.update(training_cases=[]))
    manifest, digest = read_manifest(tmp_path)
    write = event_log._write

    def slow(file: int, data: bytes) -> None:
        time.sleep(0.2)
        write(file, data)

    async def visit(log: EventLog) -> None:
        state = StudyState(manifest, log.events)
        clocks = Clocks()
        clock = StudyClock(state.latest, lambda: clocks.time, lambda: clocks.steady)
        recorder = Recorder(log, state, clock)
        sessions = Sessions(manifest, state, recorder, clock)
        await sessions.agree("token-r01", Agreed(version="1", language="en"))
        case = (await sessions.now("token-r01"))["case"]
        given: dict[str, Any] = {
            "item": case["item"],
            "diagnosis": "MEL",
            "confidence": 50.0,
            "management": "biopsy",
            "seconds": 1.0,
        }
        monkeypatch.setattr(event_log, "_write", slow)
        first = asyncio.create_task(
            sessions.submit("token-r01", Answers(submission_id="first-one", **given))
        )
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(Refusal, match="answered already"):
            await sessions.submit("token-r01", Answers(submission_id="second-one", **given))
        again = await sessions.submit("token-r01", Answers(submission_id="first-one", **given))
        assert again["receipt"]
        await recorder.close()

    with EventLog(tmp_path, digest) as log:
        asyncio.run(visit(log))
        assert [one.kind for one in log.events].count("submitted") == 1
