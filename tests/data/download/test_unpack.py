"""Archives as they are published, and as nobody should publish them."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from vitatt.data.download.unpack import unpack
from vitatt.types import DataError


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # backslashes too
            archive.writestr(info, content, method)
    return out.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def archive(tmp_path) -> Path:
    return tmp_path / "images.zip"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "images"


def test_files_and_folders(archive, folder):
    files = {"a.jpg": b"a", "deep/er/b.jpg": b"b", "empty.csv": b""}
    archive.write_bytes(zipped({"deep/": b"", **files}))
    unpack(archive, folder)
    assert tree(folder) == files
    assert archive.is_file()


@pytest.mark.parametrize(("top", "expected"), [("images", "a.jpg"), ("other", "other/a.jpg")])
def test_an_only_folder_of_the_same_name(archive, folder, top, expected):
    archive.write_bytes(zipped({f"{top}/a.jpg": b"a"}))
    unpack(archive, folder)
    assert tree(folder) == {expected: b"a"}


def test_what_macos_adds(archive, folder):
    junk = {"__MACOSX/images/._a.jpg": b"x", "images/._a.jpg": b"x", "images/.DS_Store": b"x"}
    archive.write_bytes(zipped({"images/a.jpg": b"a", **junk}))
    unpack(archive, folder)
    assert tree(folder) == {"a.jpg": b"a"}


def test_archives_inside(archive, folder):
    inner = zipped({"part_1/a.jpg": b"a", "b.jpg": b"b"})
    archive.write_bytes(zipped({"sets/part_1.zip": inner, "c.csv": b"c"}))
    unpack(archive, folder)
    assert tree(folder) == {
        "c.csv": b"c",
        "sets/part_1/part_1/a.jpg": b"a",
        "sets/part_1/b.jpg": b"b",
    }


def test_archives_too_deep(archive, folder):
    content = zipped({"a.jpg": b"a"})
    for _ in range(3):
        content = zipped({"inner.zip": content})
    archive.write_bytes(content)
    with pytest.raises(DataError, match="lie in one another more than 3 deep"):
        unpack(archive, folder)
    assert tree(folder) == {}


@pytest.mark.parametrize(
    "name", ["../out.jpg", "a/../../out.jpg", "/out.jpg", "C:/out.jpg", "..\\out.jpg", "c:out.jpg"]
)
def test_paths_that_lead_out(archive, folder, name):
    archive.write_bytes(zipped({"a.jpg": b"a", name: b"evil"}))
    with pytest.raises(DataError, match="which leads out of the folder: it is not unpacked"):
        unpack(archive, folder)
    assert not folder.exists(), "names are looked at first"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["images.zip"]


@pytest.mark.parametrize(
    ("mode", "what"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "no ordinary file")]
)
def test_links_and_devices(archive, folder, mode, what):
    with zipfile.ZipFile(archive, "w") as out:
        info = zipfile.ZipInfo("link")
        info.external_attr = (mode | 0o777) << 16
        out.writestr(info, "/etc")
    with pytest.raises(DataError, match=f"'link', which is {what}"):
        unpack(archive, folder)
    assert not folder.exists()


def test_a_link_that_is_there(archive, folder, tmp_path):
    archive.write_bytes(zipped({"sub/a.jpg": b"a"}))
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "sub").symlink_to(outside)
    with pytest.raises(DataError, match="is a link that leads out of"):
        unpack(archive, folder)
    assert not list(outside.iterdir())


def test_a_link_where_an_archive_inside_goes(archive, folder, tmp_path):
    archive.write_bytes(zipped({"part_1.zip": zipped({"a.jpg": b"a"})}))
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "part_1").symlink_to(outside)
    with pytest.raises(DataError, match=r"part_1 is a link that leads out of"):
        unpack(archive, folder)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["", "."])
def test_a_file_without_a_name(archive, folder, name):
    archive.write_bytes(zipped({"./": b"", "a.jpg": b"a", name: b"b"}))
    with pytest.raises(DataError, match=r"images\.zip holds a file without a name"):
        unpack(archive, folder)
    assert not folder.exists()


def test_nothing_is_overwritten(archive, folder):
    archive.write_bytes(zipped({"a.jpg": b"new", "b.jpg": b"b"}))
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"old")
    with pytest.raises(DataError, match=r"a\.jpg is there already, and differs"):
        unpack(archive, folder)
    assert tree(folder) == {"a.jpg": b"old"}


def test_two_files_of_one_name(archive, folder):
    content = zipped({"a.jpg": b"one", "b.jpg": b"two"})
    archive.write_bytes(content.replace(b"b.jpg", b"a.jpg"))
    with pytest.raises(DataError, match=r"two different files called a\.jpg"):
        unpack(archive, folder)


def test_a_file_where_a_folder_should_be(archive, folder):
    archive.write_bytes(zipped({"a": b"a", "a/b.jpg": b"b"}))
    with pytest.raises(DataError, match=r"holds a folder where .* is a file"):
        unpack(archive, folder)


def test_it_goes_on_where_it_was_interrupted(archive, folder, monkeypatch):
    files = {f"{number}.jpg": bytes([number]) * 1000 for number in range(5)}
    archive.write_bytes(zipped(files))
    real, calls = shutil.copyfileobj, []

    def interrupted(source, out, length):
        calls.append(source.name)
        if len(calls) == 3:
            out.write(source.read(10))
            raise KeyboardInterrupt
        real(source, out, length)

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder)
    assert set(tree(folder)) == {"0.jpg", "1.jpg"}
    (folder / ".3.jpg.part").write_bytes(b"left by a process that was killed")
    unpack(archive, folder)
    assert tree(folder) == files
    assert calls == ["0.jpg", "1.jpg", "2.jpg", "2.jpg", "3.jpg", "4.jpg"]


def test_a_bomb(archive, folder):
    archive.write_bytes(zipped({"zeros.csv": bytes(110_000_000)}))
    with pytest.raises(DataError, match=r"holds 0\.11 GB, far more than an archive of its size"):
        unpack(archive, folder)
    assert not folder.exists()


def test_a_bomb_of_archives(archive, folder):
    inner = zipped({"zeros.csv": bytes(40_000_000)})
    archive.write_bytes(zipped({f"{number}.zip": inner for number in range(3)}))
    with pytest.raises(DataError, match=r"2\.zip in images\.zip holds 0\.04 GB, far more"):
        unpack(archive, folder)


def test_too_little_room(archive, folder, tmp_path, monkeypatch):
    archive.write_bytes(zipped({"a.jpg": bytes(5000)}))
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=1000))
    with pytest.raises(DataError, match=r"images\.zip needs 0\.00 GB to be unpacked, but the disk"):
        unpack(archive, folder)
    assert tree(folder) == {}


def test_an_encrypted_archive(archive, folder):
    content = bytearray(zipped({"a.jpg": b"a"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1  # bit 0 of the flags in the central directory
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.zip is encrypted \(a\.jpg\)"):
        unpack(archive, folder)


@pytest.mark.parametrize("damage", ["cut", "flipped", "no zip"])
def test_damaged_archives(archive, folder, damage):
    content = bytearray(zipped({"a.jpg": bytes(range(256)) * 10}, zipfile.ZIP_STORED))
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[500] ^= 1
    else:
        content = bytearray(b"<html>Not found</html>")
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.zip is damaged or incomplete .*fetches it anew"):
        unpack(archive, folder)
    assert tree(folder) == {}


def test_an_unknown_compression(archive, folder):
    content = bytearray(zipped({"a.jpg": b"a" * 100}))
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(mark) + place] = 97
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked here \(.*\)\. Unpack it with another"):
        unpack(archive, folder)
