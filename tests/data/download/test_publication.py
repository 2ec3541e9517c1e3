"""A publication as a whole: fetched, compared, unpacked, and not done twice."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.data.download.server import QUICK, Server, promising, status
from tests.data.download.test_unpack import tree, zipped
from vitatt.data.datasets.publications import COLLECTIONS, PUBLICATIONS, Publication, RemoteFile
from vitatt.data.download.publication import download_publication
from vitatt.data.download.record import RECORD
from vitatt.types import DataError, UsageError

IMAGES = {"a.jpg": b"a", "b.jpg": b"b"}


def publication(*files: RemoteFile, **settings: object) -> Publication:
    known = {
        "name": "moles",
        "title": "Moles",
        "licence": "CC0",
        "address": "https://example.org/moles",
        "images": 2,
        "size": 1e-6,
        "group": "2 patients",
        "leaks": (),
        "files": files,
    }
    return Publication(**{**known, **settings})  # type: ignore[arg-type]


def download(one: Publication, folder: Path, said: list[str]) -> None:
    download_publication(one, folder, said.append, QUICK)


def visible(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if not name.startswith(".")}


@pytest.fixture
def zip_server(server: Server) -> Server:
    server.content = zipped(IMAGES)
    return server


def test_an_archive(zip_server, tmp_path, said):
    one = publication(zip_server.file("part_1.zip", known=True, confirmed=True))
    download(one, tmp_path, said)
    images = {f"part_1/{name}": content for name, content in IMAGES.items()}
    assert visible(tmp_path) == {"part_1.zip": zip_server.content, **images}
    digest = hashlib.sha256(zip_server.content).hexdigest()
    assert said == [
        f"part_1.zip: {len(zip_server.content):,} bytes, sha256 {digest}",
        f"part_1.zip: 2 files in {tmp_path / 'part_1'}",
        "The archives are unpacked and no longer needed; to free 0.00 GB: "
        f"rm {tmp_path / 'part_1.zip'}",
    ]
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["files"]["part_1.zip"]["sha256"] == digest


def test_a_second_call_does_nothing(zip_server, tmp_path, said):
    one = publication(zip_server.file("part_1.zip"), zip_server.file("table.csv"))
    download(one, tmp_path, said)
    asked = len(zip_server.asked)
    (tmp_path / "part_1.zip").unlink()
    download(one, tmp_path, said)
    assert said[-1] == f"{tmp_path} has all of Moles already: nothing to do."
    assert len(zip_server.asked) == asked


@pytest.mark.parametrize("gone", ["table.csv", "part_1/a.jpg"])
def test_what_was_removed_is_fetched_again(zip_server, tmp_path, said, gone):
    one = publication(zip_server.file("part_1.zip"), zip_server.file("table.csv"))
    download(one, tmp_path, said)
    before = visible(tmp_path)
    (tmp_path / gone).unlink()
    download(one, tmp_path, said)
    assert visible(tmp_path) == before


def test_what_is_not_known_is_said(server, tmp_path, said):
    download(publication(server.file()), tmp_path, said)
    assert "note: the published size and digest of data.bin are not known" in said[-1]
    assert hashlib.sha256(server.content).hexdigest() in said[0]


def test_a_confirmed_digest_refuses(zip_server, tmp_path, said):
    one = publication(
        zip_server.file("part_1.zip", known=True, confirmed=True)._replace(
            digest="md5:00112233445566778899aabbccddeeff"
        )
    )
    found = hashlib.md5(zip_server.content).hexdigest()
    message = rf"part_1\.zip\.wrong is not the published file: it has md5 {found} instead of 0011"
    with pytest.raises(DataError, match=message):
        download(one, tmp_path, said)
    assert visible(tmp_path) == {"part_1.zip.wrong": zip_server.content}


def test_a_hint_warns(zip_server, tmp_path, said):
    file = zip_server.file("part_1.zip", known=True)
    right, wrong = publication(file), publication(file._replace(digest=f"sha256:{'0' * 64}"))
    download(wrong, tmp_path / "wrong", said)
    assert any(
        re.match(r"WARNING: part_1\.zip has sha256 \w{64} instead of 0{64}\. .* kept", line)
        for line in said
    )
    assert (tmp_path / "wrong" / "part_1" / "a.jpg").is_file()
    said.clear()
    download(right, tmp_path / "right", said)
    assert said[1] == "part_1.zip is as in the list that no download had confirmed."


def test_a_file_that_a_person_put_there(zip_server, tmp_path, said):
    (tmp_path / "part_1.zip").write_bytes(zip_server.content)
    download(publication(zip_server.file("part_1.zip", known=True)), tmp_path, said)
    assert zip_server.asked == []
    assert (tmp_path / "part_1" / "a.jpg").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "part_1.zip").write_bytes(b"something else")
    one = publication(zip_server.file("part_1.zip", known=True, confirmed=True))
    with pytest.raises(DataError, match=r"14 bytes instead of .* and sha256 .* It is kept"):
        download(one, tmp_path / "other", said)
    assert visible(tmp_path / "other") == {"part_1.zip": b"something else"}


@pytest.mark.parametrize("code", [403, 404])
def test_what_to_do_about_a_refusal(server, tmp_path, said, code):
    server.script = [status(code), status(code)]
    one = publication(server.file("test/data.bin"))
    advice = rf"Open https://example\.org/moles in a browser, put data\.bin into {tmp_path}/test"
    with pytest.raises(DataError, match=rf"answers {code} .*{advice}, and run the command") as bare:
        download(one, tmp_path, said)
    assert "isic_archive" not in str(bare.value)
    with pytest.raises(DataError, match="vitatt download isic_archive:212 NEW_FOLDER"):
        download(one._replace(collection=212), tmp_path, said)


def test_an_archive_cut_short_by_a_lie(zip_server, tmp_path, said):
    """Of a server without ranges, only the archive itself shows it."""
    length = len(zip_server.content) - 30
    zip_server.script = [promising(length), status(200)]
    with pytest.raises(DataError, match=r"part_1\.zip is damaged or incomplete .*Remove the archi"):
        download(publication(zip_server.file("part_1.zip")), tmp_path, said)
    (tmp_path / "part_1.zip").unlink()
    download(publication(zip_server.file("part_1.zip")), tmp_path, said)
    assert (tmp_path / "part_1" / "a.jpg").is_file()


def test_an_archive_of_nothing(zip_server, tmp_path, said):
    zip_server.content = zipped({"__MACOSX/._a.jpg": b""})
    for _ in range(2):
        with pytest.raises(DataError, match=r"part_1\.zip holds no file\. Compare it with that of"):
            download(publication(zip_server.file("part_1.zip")), tmp_path, said)


def test_a_folder_where_the_file_belongs(zip_server, tmp_path, said):
    (tmp_path / "part_1.zip").mkdir()
    with pytest.raises(DataError, match=r"part_1\.zip is a folder, but the file part_1\.zip belo"):
        download(publication(zip_server.file("part_1.zip")), tmp_path, said)
    assert zip_server.asked == [], "said before it is fetched"


def test_another_dataset_in_the_folder(server, tmp_path, said):
    download(publication(server.file()), tmp_path, said)
    with pytest.raises(DataError, match="has the download of moles, not of lesions: two datasets"):
        download(publication(server.file(), name="lesions"), tmp_path, said)


@pytest.mark.parametrize("text", ['{"dataset": "moles"}', '{"dataset": "moles", "files": 1}', "x"])
def test_a_record_that_was_changed(server, tmp_path, said, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(
        UsageError, match=r"vitatt-download\.json(, line 1: .*| was changed by hand)"
    ):
        download(publication(server.file()), tmp_path, said)


def test_too_little_room(zip_server, tmp_path, said, monkeypatch):
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=10**9))
    one = publication(zip_server.file("part_1.zip"), size=2.0)
    with pytest.raises(DataError, match=r"Moles needs some 4\.0 GB more, .* has 1\.0 GB free"):
        download(one, tmp_path, said)
    assert zip_server.asked == []


def test_what_is_published():
    for name, one in PUBLICATIONS.items():
        assert name == one.name
        assert one.address.startswith("https://")
        assert one.collection is None or one.collection in COLLECTIONS
        for file in one.files:
            assert file.url.startswith("https://") or one.by_hand
            assert not file.confirmed, "no address could be tried so far"
            assert re.fullmatch(r"(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|)", file.digest)
        sizes = [file.size for file in one.files]
        if one.size is not None and None not in sizes:
            assert sum(sizes) / 1e9 == pytest.approx(one.size, rel=0.01)
