"""Many readers at once: nothing is lost, doubled or mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reader_study.serving.conftest import make_study
from tests.reader_study.serving.crowd import read_together
from tests.reader_study.serving.people import served, write_tokens
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.study_folder import read_manifest

pytestmark = pytest.mark.long


def test_twenty_readers_at_once(tmp_path: Path) -> None:
    make_study(tmp_path, cases=3, readers=20)
    write_tokens(tmp_path, 20)
    with served(tmp_path) as server:
        crowd = read_together(server.address, 20, 3)
        server.kill()
    manifest, digest = read_manifest(tmp_path)
    table = make_readings(manifest, read_log(tmp_path, digest).events)
    assert table.height == 60
    for code, answered in crowd.answered.items():
        own = table.filter(reader=code)
        assert own["confidence"].to_list() == answered
        assert tuple(own["case_id"]) == manifest.reader_by_code[code].schedule[0].cases
