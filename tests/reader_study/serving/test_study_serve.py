"""The command: what it refuses by name, its tokens, and that a study has one server."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import urllib.request
from pathlib import Path

import pytest

from tests.reader_study.made_study import submission
from tests.reader_study.serving.conftest import make_study
from tests.reader_study.serving.people import OPERATOR, served, tokens, write_tokens
from vitatt.cli import main
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.serving.tokens import operator_token
from vitatt.reader_study.study_folder import read_manifest
from vitatt.types import UsageError


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["study", "serve", str(folder), "--port=0", *options]) == 2
    return capsys.readouterr().err


def test_a_folder_that_is_no_study(tmp_path, capsys) -> None:
    assert "is no folder of a reader study: it has no study.json" in refused(tmp_path, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_manifest_is_refused_by_name(tmp_path, capsys) -> None:
    make_study(tmp_path)
    path = tmp_path / "study.json"
    path.write_text(path.read_text().replace('"trust": true', '"trust": false'))
    assert f"{path} was changed" in refused(tmp_path, capsys)


def test_a_changed_image_is_refused_by_name(tmp_path, capsys) -> None:
    make_study(tmp_path)
    path = tmp_path / "images" / "c003.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert f"{path} was changed" in refused(tmp_path, capsys)
    path.unlink()
    assert f"{path}, which study.json lists, cannot be read" in refused(tmp_path, capsys)


@pytest.mark.parametrize(
    "change",
    [("token-r02,", "token-r0Z,"), ("/r/token-r02", "/r/token-r01"), ("r02,", "r2,")],
)
def test_a_changed_token_is_refused_by_reader(tmp_path, capsys, change) -> None:
    manifest = make_study(tmp_path)
    write_tokens(tmp_path, len(manifest.readers))
    path = tmp_path / "tokens.csv"
    path.write_text(path.read_text().replace(*change, 1))
    said = refused(tmp_path, capsys)
    assert f"{path} was changed: the address of reader r" in said
    assert "token-r" not in said


def with_readings(folder: Path) -> None:
    manifest = make_study(folder)
    with EventLog(folder, read_manifest(folder)[1]) as log:
        for position in (1, 2, 3):
            log.append("submitted", "r01", submission(manifest, "r01", 1, position))


def test_a_changed_log_is_refused_by_line(tmp_path, capsys) -> None:
    with_readings(tmp_path)
    path = tmp_path / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    changes = {
        "line 3: it was changed after it was written": [
            *(lines[:2]),
            lines[2].replace('"BCC"', '"NEV"'),
            lines[3],
        ],
        "line 3: event 2 is missing": [*lines[:2], lines[3]],
        "events 3 to 3 are missing at the end": lines[:3],
        "line 3: event 3 stands before event 2": [*lines[:2], lines[3], lines[2]],
    }
    for message, changed in changes.items():
        path.write_text("".join(changed))
        found = refused(tmp_path, capsys)
        assert message in found
        assert "events.jsonl" in found
    path.write_text("".join(lines))
    (tmp_path / "events.head").unlink()
    assert "events.head cannot be read" in refused(tmp_path, capsys)


def test_a_reading_that_stands_in_the_log_twice_is_refused(tmp_path, capsys) -> None:
    with_readings(tmp_path)
    manifest, digest = read_manifest(tmp_path)
    with EventLog(tmp_path, digest) as log:
        log.append("submitted", "r01", submission(manifest, "r01", 1, 2))
    assert "line 5: reader r01 has submitted case" in refused(tmp_path, capsys)


def test_a_wrong_port_or_host(tmp_path, capsys) -> None:
    make_study(tmp_path)
    assert "port" in refused(tmp_path, capsys, "--port=70000")
    assert "cannot listen at 203.0.113.1" in refused(tmp_path, capsys, "--host=203.0.113.1")


def test_the_operators_token_is_made_once_and_kept_secret(tmp_path) -> None:
    write_tokens(tmp_path, 2)
    token = operator_token(tmp_path)
    assert len(token) >= 32
    assert operator_token(tmp_path) == token
    table = tokens(tmp_path)
    assert table == {"r01": "token-r01", "r02": "token-r02", OPERATOR: token}
    assert stat.S_IMODE((tmp_path / "tokens.csv").stat().st_mode) == 0o600
    (tmp_path / "tokens.csv").unlink()  # the readers have theirs by now
    assert operator_token(tmp_path) != token
    (tmp_path / "tokens.csv").write_text("x\n1\n")
    with pytest.raises(UsageError, match="lacks the column reader"):
        operator_token(tmp_path)


@pytest.mark.long
def test_one_server_that_ends_in_good_order(tmp_path, capsys) -> None:
    make_study(tmp_path)
    write_tokens(tmp_path, 4)
    with served(tmp_path) as server:
        assert f"{tmp_path} is served already" in refused(tmp_path, capsys)
        with urllib.request.urlopen(f"{server.address}/healthz") as answer:
            assert json.load(answer) == {"status": "ok"}
        for path in (
            "/static/../study.json",
            "/r/token-r01/files/../../../study.json",
            "//study.json",
        ):
            raw = http.client.HTTPConnection("127.0.0.1", server.port)
            raw.request("GET", path)  # as it is, where other clients would shorten it
            response = raw.getresponse()
            assert response.status == 404
            assert b"token_sha256" not in response.read()
            raw.close()
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGTERM)
        output, errors = server.process.communicate(timeout=40)
        assert server.process.returncode == 0
        assert errors == ""
        assert not any(token in output for token in tokens(tmp_path).values())
