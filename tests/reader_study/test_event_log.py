"""The log of a study: every kind of tampering is named, and no acknowledged event is lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reader_study.made_study import submission, write_study
from vitatt.reader_study.event_log import EventLog, EventRefusedError
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.study_folder import TamperingError

Lines = list[bytes]


@pytest.fixture
def study(tmp_path):
    """A study with ten events, and the digest of its plan."""
    folder = tmp_path / "study"
    manifest, digest = write_study(folder)
    with EventLog(folder, digest) as log:
        log.append("consented", "r01", {})
        log.append("profile", "r01", {"experience": "low"})
        for position in range(1, 7):
            log.append("submitted", "r01", submission(manifest, "r01", 1, position))
        log.append("paused", "r01", {})
    return folder, digest


def lines_of(folder: Path) -> Lines:
    return (folder / "events.jsonl").read_bytes().splitlines(keepends=True)


def own_digest_again(line: bytes) -> bytes:
    """A line whose own digest was made right again by somebody who knows the format."""
    entry = json.loads(line)
    entry.pop("hash")
    body = json.dumps(entry, separators=(",", ":"))
    return f'{body[:-1]},"hash":"{hashlib.sha256(body.encode()).hexdigest()}"}}\n'.encode()


def changed(lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace(b'"BCC"', b'"MEL"'), *lines[5:]]


def changed_with_its_digest(lines: Lines) -> Lines:
    return [*lines[:4], own_digest_again(changed(lines)[4]), *lines[5:]]


def last_changed(lines: Lines) -> Lines:
    return [*lines[:-1], lines[-1].replace(b"paused", b"resumed")]


def last_changed_with_its_digest(lines: Lines) -> Lines:
    return [*lines[:-1], own_digest_again(last_changed(lines)[-1])]


def removed(lines: Lines) -> Lines:
    return [*lines[:4], *lines[6:]]


def first_removed(lines: Lines) -> Lines:
    return lines[1:]


def inserted(lines: Lines) -> Lines:
    return [*lines[:5], lines[3], *lines[5:]]


def moved(lines: Lines) -> Lines:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def not_json(lines: Lines) -> Lines:
    return [*lines[:2], b"hello\n", *lines[3:]]


def empty_line(lines: Lines) -> Lines:
    return [*lines[:2], b"\n", *lines[2:]]


TAMPERING: list[tuple[Callable[[Lines], Lines], str]] = [
    (changed, "line 5: it was changed after it was written"),
    (changed_with_its_digest, "line 6: it does not continue the line before it: one of them"),
    (last_changed, "line 10: it was changed"),
    (last_changed_with_its_digest, "line 10: events.head states another digest of it"),
    (removed, "line 5: events 4 to 5 are missing before event 6: lines were removed"),
    (first_removed, "line 1: event 0 is missing before event 1"),
    (inserted, "line 6: event 3 stands there a second time: it was inserted"),
    (moved, "line 5: event 5 stands before event 4: lines were moved"),
    (not_json, "line 3: it was changed"),
    (empty_line, "line 3: it was changed"),
    (lambda lines: lines[:-1], "events 9 to 9 are missing at the end: events.head states 10"),
    (lambda lines: lines[:3], "events 3 to 9 are missing at the end"),
    (lambda lines: [*lines[:-1], lines[-1][:40]], "events 9 to 9 are missing at the end"),
    (lambda lines: [], "events 0 to 9 are missing at the end"),
]


@pytest.mark.parametrize(("tamper", "said"), TAMPERING)
def test_tampering_is_named(study, tamper, said) -> None:
    folder, digest = study
    (folder / "events.jsonl").write_bytes(b"".join(tamper(lines_of(folder))))
    with pytest.raises(TamperingError, match=said):
        read_log(folder, digest)
    with pytest.raises(TamperingError, match=said):
        EventLog(folder, digest)


def test_an_untouched_log_is_read(study) -> None:
    folder, digest = study
    content = read_log(folder, digest)
    assert len(content.events) == content.head.events == 10
    assert content.torn == b""
    assert [event.n for event in content.events] == list(range(10))


@pytest.mark.parametrize("byte", range(0, 900, 61))
def test_any_changed_byte_is_noticed(study, byte) -> None:
    folder, digest = study
    data = bytearray((folder / "events.jsonl").read_bytes())
    data[byte] ^= 1
    (folder / "events.jsonl").write_bytes(data)
    with pytest.raises(TamperingError):
        read_log(folder, digest)


@pytest.mark.parametrize("text", ["", "10", "10 abc def", "x y", "0 " + "0" * 64, "-1 x"])
def test_a_changed_head_is_noticed(study, text) -> None:
    folder, digest = study
    (folder / "events.head").write_text(text)
    with pytest.raises(TamperingError, match=r"events\.head was changed"):
        read_log(folder, digest)


def test_a_missing_head_or_log_is_noticed(study) -> None:
    folder, digest = study
    head = (folder / "events.head").read_bytes()
    (folder / "events.head").unlink()
    with pytest.raises(TamperingError, match=r"events\.head cannot be read \(No such file"):
        read_log(folder, digest)
    (folder / "events.head").write_bytes(head)
    (folder / "events.jsonl").unlink()
    with pytest.raises(ValueError, match=r"events\.jsonl cannot be read"):
        read_log(folder, digest)


def test_a_log_of_another_plan_is_noticed(study) -> None:
    folder, _ = study
    with pytest.raises(TamperingError, match=r"line 1: the log is of another study\.json"):
        read_log(folder, "f" * 64)


def test_a_log_that_was_written_anew_is_noticed_by_a_copy_of_the_head_alone(study) -> None:
    """The limit that the docs state."""
    folder, digest = study
    copy = (folder / "events.head").read_text()
    (folder / "events.jsonl").write_bytes(b"".join(lines_of(folder)[:5]))
    last = lines_of(folder)[4].rstrip(b"\n")
    (folder / "events.head").write_text(f"5 {hashlib.sha256(last).hexdigest()}\n")
    assert len(read_log(folder, digest).events) == 5
    (folder / "events.head").write_text(copy)
    with pytest.raises(TamperingError, match="events 5 to 9 are missing"):
        read_log(folder, digest)


def test_a_torn_write_is_kept_aside(study) -> None:
    folder, digest = study
    whole = (folder / "events.jsonl").read_bytes()
    torn = whole.splitlines()[-1][:70]
    (folder / "events.jsonl").write_bytes(whole + torn)
    assert read_log(folder, digest).torn == torn
    with EventLog(folder, digest) as log:
        assert log.torn is not None
        assert log.torn.name.startswith("events.torn-10-")
        assert log.torn.read_bytes() == torn
        log.append("resumed", "r01", {})
    assert (folder / "events.jsonl").read_bytes().startswith(whole)
    assert [one.kind for one in read_log(folder, digest).events][-2:] == ["paused", "resumed"]


def test_a_kill_between_line_and_head_loses_nothing(study) -> None:
    folder, digest = study
    before = (folder / "events.head").read_text()
    with EventLog(folder, digest) as log:
        log.append("resumed", "r01", {})
    (folder / "events.head").write_text(before)
    assert len(read_log(folder, digest).events) == 11
    with EventLog(folder, digest):
        assert (folder / "events.head").read_text().startswith("11 ")


def disk_full(after: int) -> Callable[[int, bytes], int]:
    """`os.write` of a disk that has room for this number of bytes."""
    write, room = os.write, [after]

    def limited(handle: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(handle, bytes(data[: room[0]]))
        room[0] -= done
        return done

    return limited


@pytest.mark.parametrize("room", [0, 1, 50])
def test_on_a_full_disk_an_event_is_refused_and_leaves_nothing(study, monkeypatch, room) -> None:
    folder, digest = study
    before = (folder / "events.jsonl").read_bytes()
    with EventLog(folder, digest) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", disk_full(room))
            with pytest.raises(EventRefusedError, match=r"`resumed` cannot be written \(No space"):
                log.append("resumed", "r01", {})
        assert (folder / "events.jsonl").read_bytes() == before
        assert log.head.events == len(log.events) == 10
        log.append("resumed", "r01", {})
    assert len(read_log(folder, digest).events) == 11


def test_an_event_whose_head_cannot_be_written_is_refused(study, monkeypatch) -> None:
    folder, digest = study

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with EventLog(folder, digest) as log:
        with monkeypatch.context() as patch:
            patch.setattr("vitatt.reader_study.event_log.write_head", fail)
            with pytest.raises(EventRefusedError, match="send it again"):
                log.append("resumed", "r01", {})
        assert len(read_log(folder, digest).events) == 10
        log.append("resumed", "r01", {})


def fill(log: EventLog) -> None:
    for _ in range(3000):
        log.append("paused", "r01", {"padding": "x" * 200})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_on_a_disk_that_is_really_full(tmp_path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        folder = tmp_path / "study"
        _, digest = write_study(folder, cases=2, readers=2)
        with EventLog(folder, digest) as log:
            with pytest.raises(EventRefusedError, match="No space left on device"):
                fill(log)
            written = log.head.events
            assert written > 10
            for image in (folder / "maps").glob("*.png"):
                image.unlink()
            log.append("resumed", "r01", {})
        content = read_log(folder, digest)
        assert [event.kind for event in content.events[-2:]] == ["paused", "resumed"]
        assert len(content.events) == written + 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_fifty_threads_append_at_once(study) -> None:
    folder, digest = study
    with EventLog(folder, digest) as log:
        threads = [
            threading.Thread(target=lambda one=number: log.append("paused", f"p{one}", {}))
            for number in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = read_log(folder, digest).events
    assert sorted(event.reader for event in events[10:]) == sorted(f"p{n}" for n in range(50))


def test_two_processes_append_to_one_log(study) -> None:
    folder, digest = study
    with EventLog(folder, digest) as one, EventLog(folder, digest) as other:
        for number in range(5):
            one.append("paused", "r01", {"number": number})
            other.append("resumed", "r02", {"number": number})
        assert len(one.events) == 19  # the last is not read yet
        assert len(other.events) == 20
    assert len(read_log(folder, digest).events) == 20


@pytest.mark.parametrize("tamper", [lambda path: os.truncate(path, 100), Path.unlink])
def test_a_log_that_shrinks_while_it_is_open(study, tamper) -> None:
    folder, digest = study
    with EventLog(folder, digest) as log:
        tamper(folder / "events.jsonl")
        with pytest.raises(TamperingError, match="while the study runs"):
            log.append("paused", "r01", {})


APPENDING = """
import sys
from pathlib import Path
from vitatt.reader_study.event_log import EventLog
folder, digest, begin = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with EventLog(folder, digest) as log:
    for number in range(begin, begin + 100000):
        log.append("paused", "r01", {"number": number, "padding": "x" * (number % 50) * 40})
        print(number, flush=True)
"""


def test_kill_at_any_moment_loses_no_acknowledged_event_and_doubles_none(study) -> None:
    folder, digest = study
    chance, acknowledged, begin = random.Random(0), [], 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(folder), digest, str(begin)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.2))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged += [int(word) for word in (first + rest).split()]
        begin = acknowledged[-1] + 2  # the one after it may be there, unacknowledged
    with EventLog(folder, digest) as log:
        found = [event.data["number"] for event in log.events if "number" in event.data]
    assert len(acknowledged) > 20
    assert len(set(found)) == len(found)
    assert set(acknowledged) <= set(found)
    assert len(found) <= len(acknowledged) + 4
