"""download and datasets: what they say, and what is left when they end."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.data.download.server import serving, status
from tests.data.download.test_unpack import zipped
from vitatt.cli import main
from vitatt.data.datasets.publications import PUBLICATIONS


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["download", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_the_list(capsys):
    assert main(["datasets"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 92
    for one in PUBLICATIONS.values():
        for fact in (one.name, one.title, one.licence, one.address, *one.leaks):
            assert fact in " ".join(said.split())
    assert "images    33,126; size 23 GB; licence CC BY-NC" in said
    assert "images    number not known; size not known; licence not known" in said


@pytest.fixture
def moles(monkeypatch):
    """A dataset on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.content = zipped({"a.jpg": b"a"})
        one = PUBLICATIONS["ham10000"]._replace(files=(server.file("images.zip"),), size=1e-6)
        monkeypatch.setitem(PUBLICATIONS, "ham10000", one)
        yield server


def test_a_download(moles, capsys):
    assert main(["download", "ham10000", "moles"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "ham10000      HAM10000"
    assert last == "To look at it: vitatt check-data --data.dataset ham10000 --data.root moles"
    assert Path("moles/images/a.jpg").read_bytes() == b"a"
    assert main(["download", "ham10000", "moles"]) == 0
    assert "moles has all of HAM10000 already: nothing to do." in capsys.readouterr().out


def test_licence_and_address_come_first(moles, capsys):
    moles.script = [status(404)]
    assert main(["download", "ham10000", "moles"]) == 2
    printed = capsys.readouterr()
    assert "licence CC BY-NC" in printed.out
    assert "https://doi.org/10.7910/DVN/DBW86T" in printed.out
    assert "vitatt download isic_archive:212" in printed.err
    assert printed.err.count("\n") == 1


def test_two_at_a_time(moles, capsys):
    Path("moles").mkdir()
    with FileLock("moles/.vitatt-download.lock"):
        assert "Another `vitatt download` works in moles" in refused(["ham10000", "moles"], capsys)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ham1000", "but got 'ham1000'. Did you mean ham10000"),
        ("ham10000:212", "Expected a dataset among pad_ufes_20"),
        ("isic_archive", "as in isic_archive:251, but got none. Some are: 65 ISIC 2019"),
        ("isic_archive:hiba", "but got isic_archive:hiba"),
        ("isic_archive:1,", "but got isic_archive:1,"),
    ],
)
def test_names(capsys, name, message):
    assert message in refused([name, "folder"], capsys)
    assert not Path("folder").exists()


def test_a_folder_that_cannot_be(capsys):
    assert "which the download names, cannot be" in refused(["ham10000", "/proc/x"], capsys)


@pytest.mark.parametrize(
    ("name", "reason"),
    [(f"{'a' * 250}.jpg", "File name too long"), ("a.jpg", "Permission denied")],
)
def test_a_file_that_cannot_be_written(moles, capsys, monkeypatch, name, reason):
    moles.content = zipped({name: b"a"})
    if reason == "Permission denied":  # which an administrator does not get

        def refuse(path, target):
            raise PermissionError(13, reason, str(path))

        monkeypatch.setattr(Path, "replace", refuse)
    said = refused(["ham10000", "moles"], capsys)
    assert re.search(rf"moles/\S+ cannot be read or written \({reason}\)\. What is compl", said)


def test_by_hand(capsys):
    said = refused(["derm7pt", "atlas"], capsys)
    assert "release_v0.zip is not in atlas. See https://derm.cs.sfu.ca: " in said
    assert "run the command again, which unpacks it" in said
    Path("atlas/release_v0.zip").write_bytes(zipped({"release_v0/meta/meta.csv": b"case_num"}))
    assert main(["download", "derm7pt", "atlas"]) == 0
    assert Path("atlas/release_v0/meta/meta.csv").read_bytes() == b"case_num"


ISIC = """#!/bin/sh
echo "$@" >> {log}
folder="$5"
{then}
"""
WRITE = """printf 'isic_id,age_approx\\nISIC_1,50\\nISIC_2,\\n' > "$folder/metadata.csv"
printf x > "$folder/ISIC_1.jpg"
"""
BOTH = WRITE + 'printf x > "$folder/ISIC_2.JPG"\n'


@pytest.fixture
def isic(tmp_path, monkeypatch):
    """Puts a command of this name on PATH, which does as told; returns where it logs its words."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(then: str) -> Path:
        log = tmp_path / "words"
        (folder / "isic").write_text(ISIC.format(log=log, then=then))
        (folder / "isic").chmod(0o755)
        return log

    return install


def test_a_collection(isic, capfd, tmp_path):
    log = isic(BOTH)
    assert main(["download", "isic_archive:249,251", "hiba"]) == 0
    assert log.read_text() == f"image download --collections 249,251 {tmp_path}/hiba\n"
    assert "2 images and hiba/metadata.csv" in capfd.readouterr().out
    assert main(["download", "isic_archive:249,251", "hiba"]) == 0
    assert "has all of collection 249,251 already: nothing to do" in capfd.readouterr().out
    assert log.read_text().count("\n") == 1
    assert "has the download of isic_archive:249,251, not of" in refused(
        ["isic_archive:65", "hiba"], capfd
    )
    Path("hiba/ISIC_2.JPG").unlink()
    assert main(["download", "isic_archive:249,251", "hiba"]) == 0
    assert log.read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("exit 3", "ended with status 3; it says why above. What is there is kept"),
        ("exit 0", "wrote no hiba/metadata.csv: it was cancelled"),
        (WRITE, "1 images of hiba/metadata.csv were not fetched, the first being ISIC_2"),
        ("echo id > $folder/metadata.csv", "has no column isic_id"),
    ],
)
def test_a_collection_that_is_not_complete(isic, capsys, then, message):
    isic(then)
    assert message in refused(["isic_archive:251", "hiba"], capsys)


def test_a_table_of_the_user_is_not_overwritten(isic, capsys):
    log = isic(WRITE)
    table = Path("hiba/metadata.csv")
    table.parent.mkdir()
    table.write_text("patient_id,age\n1,50\n")
    message = "metadata.csv is not as an earlier `vitatt download` left it, and `isic` would over"
    assert message in refused(["isic_archive:251", "hiba"], capsys)
    assert table.read_text() == "patient_id,age\n1,50\n"
    table.unlink()
    assert "1 images of" in refused(["isic_archive:251", "hiba"], capsys)
    assert "1 images of" in refused(["isic_archive:251", "hiba"], capsys)
    assert log.read_text().count("\n") == 2
    corrected = table.read_text().replace("ISIC_1,50", "ISIC_1,150")
    table.write_text(corrected)
    assert message in refused(["isic_archive:251", "hiba"], capsys)
    assert table.read_text() == corrected


def test_without_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    said = refused(["isic_archive:251", "hiba"], capsys)
    assert "The command `isic` is not installed: pip install 'vitatt[isic]'." in said
