"""Fetching from a server that cuts, stalls, lies and changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data.download.server import (
    QUICK,
    Server,
    compressed,
    cut,
    heedless,
    moved,
    overflowing,
    page,
    promising,
    silent_about_length,
    stall,
    status,
    whole,
)
from vitatt.data.datasets.publications import RemoteFile
from vitatt.data.download.answers import UnreachableError
from vitatt.data.download.fetch import fetch
from vitatt.types import DataError


def got(server: Server, folder: Path, said: list[str], file: RemoteFile | None = None) -> bytes:
    part = fetch(file or server.file(), folder / "data.bin", said.append, QUICK)
    assert not (folder / "data.bin").exists(), "not before its content was looked at"
    return part.path.read_bytes()


def test_a_file(server, tmp_path, said):
    assert got(server, tmp_path, said) == server.content
    assert said == []
    first, end = server.asked
    assert first["Accept-Encoding"] == "identity"
    assert first["User-Agent"].startswith("vitatt/")
    assert "Range" not in first
    assert end["Range"] == f"bytes={len(server.content)}-{len(server.content)}"


def test_after_cuts_only_the_rest_is_asked_for(server, tmp_path, said):
    server.script = [cut(49_152), cut(32_768)]
    assert got(server, tmp_path, said) == server.content
    assert [asked.get("Range") for asked in server.asked[:3]] == [
        None,
        "bytes=49152-",
        "bytes=81920-",
    ]
    assert server.asked[1]["If-Range"] == '"one"'
    assert len(said) == 2
    assert all("trying again in" in line for line in said)


def test_another_call_goes_on(server, tmp_path, said):
    server.script = [cut(49_152), *[status(503)] * 3]
    with pytest.raises(
        UnreachableError, match=r"102,400 bytes, but 49,152 are all that came, 3 times"
    ):
        got(server, tmp_path, said)
    assert (tmp_path / "data.bin.part").stat().st_size == 49_152
    assert got(server, tmp_path, said) == server.content
    assert server.asked[-2]["Range"] == "bytes=49152-"


def test_a_last_change_serves_where_there_is_no_tag(server, tmp_path, said):
    changed = "Thu, 01 Oct 2020 10:00:00 GMT"
    server.tag = ""

    def dated(request):
        request.head(200, Content_Length=len(server.content), Last_Modified=changed)
        request.wfile.write(server.content[:16_384])

    server.script = [dated]
    assert got(server, tmp_path, said) == server.content
    assert server.asked[1]["If-Range"] == changed


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_strong_validator_it_starts_anew(server, tmp_path, said, tag):
    server.tag = tag
    server.script = [cut(49_152)]
    assert got(server, tmp_path, said) == server.content
    assert "Range" not in server.asked[1]
    assert "the server does not tell whether it changed since, so it starts anew" in said[-1]


def test_a_silent_server_is_a_cut(server, tmp_path, said):
    server.script = [stall(300)]
    assert got(server, tmp_path, said) == server.content
    assert "was cut, since the server is silent" in said[0]


def test_a_silent_server_is_given_up(server, tmp_path, said):
    server.script = [stall(0)] * 3
    with pytest.raises(
        UnreachableError, match=r"data\.bin was cut, since the server is silent, 3 times"
    ):
        got(server, tmp_path, said)


def test_a_server_without_ranges_starts_anew(server, tmp_path, said):
    server.script = [cut(49_152), whole]
    assert got(server, tmp_path, said) == server.content
    assert "the server cannot go on in the middle, so it starts anew; 49,152 bytes" in said[-1]


@pytest.mark.parametrize("rest", [None, heedless])
def test_a_changed_file_is_not_glued_together(server, tmp_path, said, rest):
    def cut_and_change(request):
        cut(49_152)(request)
        server.content, server.tag = bytes(reversed(server.content)), '"two"'

    server.script = [cut_and_change, *([rest] if rest else [])]
    assert got(server, tmp_path, said) == server.content
    assert any("has changed" in line for line in said)


def test_a_file_that_became_shorter(server, tmp_path, said):
    def shrink(request):
        server.content = server.content[:20_000]
        request.head(416, Content_Length=0)

    server.script = [cut(49_152), shrink]
    assert got(server, tmp_path, said) == server.content
    assert any("has become shorter than what was fetched" in line for line in said)


def test_more_promised_than_sent(server, tmp_path, said):
    server.script = [promising(102_407)]
    assert got(server, tmp_path, said) == server.content
    assert "has 102,400 bytes by what the server says now, and 102,407 by what it" in said[-1]


def test_more_promised_than_sent_up_to_the_last_byte(server, tmp_path, said):
    server.content = server.content[:81_920]
    server.script = [promising(81_927)]
    with pytest.raises(DataError, match="has 81,927 bytes, but it ends after 81,920"):
        got(server, tmp_path, said)
    assert not list(tmp_path.iterdir())


def test_more_promised_than_sent_without_ranges(server, tmp_path, said):
    server.script = [promising(len(server.content) + 7)] * 3
    with pytest.raises(
        UnreachableError, match="102,407 bytes, but 98,304 are all that came, 3 times"
    ):
        got(server, tmp_path, said)


def test_less_promised_than_there_is(server, tmp_path, said):
    server.script = [promising(1000)]
    with pytest.raises(DataError, match="has 1,000 bytes, but it goes on after them, to 102,400"):
        got(server, tmp_path, said)
    assert not list(tmp_path.iterdir())


def test_an_empty_part_after_the_end_is_no_lie(server, tmp_path, said):
    def nothing(request):
        request.head(206, Content_Length=0, Content_Range="bytes 102400-102399/102400")

    server.script = [whole, nothing]
    assert got(server, tmp_path, said) == server.content
    assert len(server.asked) == 2


def test_another_length_than_published(server, tmp_path, said):
    file = server.file(known=True, confirmed=True)
    server.content += b"more"
    with pytest.raises(DataError, match="should have 102,400 bytes, but the server says 102,404"):
        got(server, tmp_path, said, file)
    assert not list(tmp_path.iterdir())
    assert got(server, tmp_path, said, file._replace(confirmed=False)) == server.content
    assert said[-1].startswith("WARNING: data.bin should have 102,400 bytes")


def test_no_length(server, tmp_path, said):
    server.script = [silent_about_length]
    assert got(server, tmp_path, said) == server.content
    assert said == ["data.bin: the server does not say how long it is."]


def test_more_sent_than_the_rest(server, tmp_path, said):
    server.script = [cut(49_152), overflowing]
    assert got(server, tmp_path, said) == server.content
    assert "came with more than the 102,400 bytes that the server said; dropped" in said[-1]


def test_compressed_on_its_way(server, tmp_path, said):
    server.script = [compressed]
    assert got(server, tmp_path, said) == server.content
    server.script = [compressed]
    part = tmp_path / "data.bin.part"
    part.write_bytes(server.content[:49_152])
    assert got(server, tmp_path, said) == server.content
    assert "Range" not in server.asked[-2], "places would be those in the compressed content"


@pytest.mark.parametrize("code", [403, 404, 202])
def test_refusals_are_final(server, tmp_path, said, code):
    server.script = [status(code)]
    with pytest.raises(UnreachableError, match=rf"answers {code} .* for data\.bin \(http://127"):
        got(server, tmp_path, said)
    assert len(server.asked) == 1


def test_a_page_is_no_file(server, tmp_path, said):
    server.script = [page]
    with pytest.raises(UnreachableError, match=r"sends a web page in place of data\.bin"):
        got(server, tmp_path, said)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("file:///etc/passwd", "No connection adapters were found for 'file:///etc/passwd'"),
        ("http://[", "Invalid IPv6 URL"),
        (f"http://{'a' * 80}.org/", "label empty or too long"),
        ("/data.bin", "Exceeded 30 redirects"),
    ],
)
def test_an_address_that_leads_nowhere(server, tmp_path, said, address, reason):
    server.script = [moved(address)] * 40
    with pytest.raises(UnreachableError, match=r"data\.bin cannot be had from http://127") as bare:
        got(server, tmp_path, said)
    assert reason in str(bare.value)
    assert said == [], "to wait would not help"


def test_an_address_that_leads_on(server, tmp_path, said):
    server.script = [cut(49_152), moved("/mirror")]
    assert got(server, tmp_path, said) == server.content
    assert server.asked[2]["Range"] == "bytes=49152-"


def test_errors_of_a_server_pass(server, tmp_path, said):
    server.script = [status(500), status(429, Retry_After=0)]
    assert got(server, tmp_path, said) == server.content
    assert "was answered by 500" in said[0]
    assert "was answered by 429" in said[1]


def test_nobody_listens(server, tmp_path, said):
    file = RemoteFile("data.bin", "http://127.0.0.1:9/data.bin")
    with pytest.raises(UnreachableError, match="cut, since the connection was refused, 3 times"):
        got(server, tmp_path, said, file)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is full")
def test_a_full_disk(server, tmp_path, said):
    (tmp_path / "data.bin.part").symlink_to("/dev/full")
    (tmp_path / "data.bin.part.json").write_text(
        f'{{"url": "{server.file().url}", "validator": "", "total": null}}'
    )
    with pytest.raises(DataError, match=r"is full: 0 bytes of data\.bin are kept\. Make room"):
        got(server, tmp_path, said)


def test_too_little_room_is_said_before(server, tmp_path, said, monkeypatch):
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=1000))
    with pytest.raises(DataError, match=r"data\.bin needs .* the disk of .* free. Make room"):
        got(server, tmp_path, said)
    assert not (tmp_path / "data.bin.part").exists()


def test_a_part_of_another_program_stays(server, tmp_path, said):
    (tmp_path / "data.bin.part").write_text("of a browser")
    with pytest.raises(DataError, match="was begun by another program"):
        got(server, tmp_path, said)
    assert (tmp_path / "data.bin.part").read_text() == "of a browser"
