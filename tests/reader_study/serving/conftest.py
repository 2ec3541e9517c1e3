"""Studies that no model made, and clients of their server whose clock can be set."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.reader_study.made_study import CREATED, plain_study
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.log_reading import create_log, read_log
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.serving.app import create_study_app
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.study_folder import read_manifest, write_bytes, write_manifest

OPERATOR_TOKEN = "the operator's"


def make_study(
    folder: Path, change: Callable[[dict[str, Any]], Any] = lambda plan: None, **settings: Any
) -> Manifest:
    """Write a study, whose plan may be changed before."""
    plan, files = plain_study(**settings)
    change(plan)
    manifest = Manifest.model_validate_json(json.dumps(plan))
    for name, data in files.items():
        write_bytes(data, folder / name)
    create_log(folder, write_manifest(manifest, folder), CREATED)
    return manifest


class Clocks:
    """The time of day, which can be set, and a clock that never jumps."""

    def __init__(self) -> None:
        self.time = CREATED + datetime.timedelta(days=1)
        self.steady = 1000.0

    def wait(self, **span: float) -> None:
        passed = datetime.timedelta(**span)
        self.time += passed
        self.steady += passed.total_seconds()

    def set_by(self, **span: float) -> None:
        """Somebody sets the clock."""
        self.time += datetime.timedelta(**span)


class Study:
    """A study with its server, which can be started anew.

    Args:
        folder: Of the study.
        clocks: Of the server.
    """

    def __init__(self, folder: Path, clocks: Clocks) -> None:
        self.folder, self.clocks = folder, clocks
        self.manifest, self.digest = read_manifest(folder)
        self._stack = contextlib.ExitStack()
        self.client = self._start()

    def restart(self) -> None:
        self._stack.close()
        self.client = self._start()

    def close(self) -> None:
        self._stack.close()

    def _start(self) -> TestClient:
        log = self._stack.enter_context(EventLog(self.folder, self.digest))
        clock = StudyClock(log.events[-1].time, lambda: self.clocks.time, self._steady)
        app = create_study_app(
            self.folder,
            self.manifest,
            log,
            operator_token=OPERATOR_TOKEN,
            hosts=("testserver",),
            clock=clock,
        )
        return self._stack.enter_context(TestClient(app, raise_server_exceptions=False))

    def _steady(self) -> float:
        return self.clocks.steady

    def events(self) -> list[Any]:
        return list(read_log(self.folder, self.digest).events)

    def post(self, reader: str, step: str, body: Any = None, status: int = 200) -> Any:
        answer = self.client.post(f"/r/token-{reader}/{step}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def now(self, reader: str = "r01") -> Any:
        return self.post(reader, "now")

    def begin(self, reader: str = "r01") -> None:
        """Consent, profile if it is asked, and practice."""
        self.post(reader, "consent", {"version": "1", "language": "en"})
        if self.now(reader)["stage"] == "profile":
            self.post(reader, "profile", {"experience": "low"})
        while self.now(reader)["stage"] == "practice":
            self.answer(reader)

    def answers(self, reader: str = "r01", **more: Any) -> dict[str, Any]:
        """Answers on the case that is due."""
        case = self.now(reader)["case"]
        return {
            "item": case["item"],
            "submission_id": f"{reader}-{case['item']}"[:60].replace("_", "-"),
            "diagnosis": "MEL",
            "confidence": 70,
            "management": "biopsy",
            "trust": 3 if case["shows_ai"] else None,
            "seconds": 4.5,
            "features": ["itch"],
            **more,
        }

    def answer(self, reader: str = "r01", seconds: float = 10, **more: Any) -> Any:
        """Answer the case that is due."""
        self.now(reader)
        self.clocks.wait(seconds=seconds)
        return self.post(reader, "answers", self.answers(reader, **more))


Start = Callable[..., Study]


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def start(tmp_path: Path, clocks: Clocks) -> Iterator[Start]:
    """Make a study and start its server."""
    running: list[Study] = []

    def run(change: Callable[[dict[str, Any]], Any] = lambda plan: None, **settings: Any) -> Study:
        make_study(tmp_path, change, **settings)
        running.append(Study(tmp_path, clocks))
        return running[-1]

    yield run
    for one in running:
        one.close()


@pytest.fixture
def study(start: Start) -> Study:
    return start()
