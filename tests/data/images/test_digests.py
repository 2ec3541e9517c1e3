"""Known digests are used for the very same file only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from vitatt.data.images.digests import digest, digest_files
from vitatt.types import DataError


def write(path: Path, content: bytes, time: int = 10**18) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(time, time))
    return str(path)


def test_relative_paths_of_two_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for project, content in (("one", b"aaaa"), ("two", b"bbbb")):
        write(tmp_path / project / "data" / "x.png", content)
        monkeypatch.chdir(tmp_path / project)
        found.append(digest_files(["data/x.png"], tmp_path / "cache")["data/x.png"])
    assert found == [digest(b"aaaa"), digest(b"bbbb")]


def test_replaced_in_place_with_size_and_time_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", b"aaaa")
    assert digest_files([path], tmp_path / "cache") == {path: digest(b"aaaa")}
    other = Path(write(tmp_path / "other.png", b"bbbb"))
    shutil.copy2(other, path)  # as cp -p does
    assert digest_files([path], tmp_path / "cache") == {path: digest(b"bbbb")}
    third = Path(write(tmp_path / "third.png", b"cccc"))
    third.replace(path)  # as mv does
    assert digest_files([path], tmp_path / "cache") == {path: digest(b"cccc")}


def test_rewritten_with_size_and_time_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", b"aaaa")
    digest_files([path], tmp_path / "cache")
    inode = Path(path).stat().st_ino
    write(Path(path), b"bbbb")
    assert Path(path).stat().st_ino == inode
    assert digest_files([path], tmp_path / "cache") == {path: digest(b"bbbb")}


def test_a_link_that_leads_elsewhere_now(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", b"aaaa"), write(tmp_path / "two", b"bbbb")
    link = tmp_path / "link.png"
    for target, content in ((one, b"aaaa"), (two, b"bbbb"), (one, b"aaaa")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert digest_files([str(link)], tmp_path / "cache") == {str(link): digest(content)}


def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    for name, content in (("one", b"aaaa"), ("two", b"bbbb")):
        write(tmp_path / name / "x.png", content)
    link = tmp_path / "data"
    for name, content in (("one", b"aaaa"), ("two", b"bbbb")):
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        path = str(link / "x.png")
        assert digest_files([path], tmp_path / "cache") == {path: digest(content)}


def test_the_key_is_the_real_path_and_the_stamp_all_that_tells(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", b"aaaa")
    digest_files([path], tmp_path / "cache")
    stat = Path(path).stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    known = json.loads((tmp_path / "cache" / "digests.json").read_text())
    assert known == {os.path.realpath(path): [*stamp, digest(b"aaaa")]}


def test_entries_of_another_form_are_ignored(tmp_path: Path) -> None:
    entries = [
        *([4, 10**18, "old"], [], "x", None, {"size": 4}, [4, 1, 2, "inode", "old"]),
        *([4, 1.5, 2, 3, "old"], [4, 1, 2, 3, ["old"]], [4, 1, 2, 3, "old", "more"]),
    ]
    paths = [write(tmp_path / f"{n}.png", b"aaaa") for n in range(len(entries))]
    other, cache = write(tmp_path / "y.png", b"bb"), tmp_path / "cache"
    digest_files([other], cache)
    ledger = cache / "digests.json"
    known = json.loads(ledger.read_text())
    odd = dict(zip(paths, entries, strict=True)) | {"data/x.png": [4, 10**18, "old"]}
    ledger.write_text(json.dumps({**known, **odd}))
    assert digest_files(paths, cache) == dict.fromkeys(paths, digest(b"aaaa"))
    assert set(json.loads(ledger.read_text())) == {*paths, other}, "what was known stays"


class TestFolder:
    def test_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(DataError, match=r"cache is a file\. Name .*`data\.cache_dir`"):
            digest_files([], tmp_path / "cache")

    def test_is_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        message = r"cannot be made \(Not a directory\)\. .*`data\.cache_dir`"
        with pytest.raises(DataError, match=message) as error:
            digest_files([], tmp_path / "file" / "cache")
        assert "\n" not in str(error.value)

    def test_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: str, flags: int, mode: int = 0o777, **others: object) -> int:
            raise OSError(30, "Read-only file system", path)

        monkeypatch.setattr(os, "open", refuse)
        message = r"cannot be written to \(Read-only file system\)\. .*`data\.cache_dir`"
        with pytest.raises(DataError, match=message) as error:
            digest_files([], tmp_path)
        assert "\n" not in str(error.value)

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no such folder here")
    def test_of_the_system(self) -> None:
        with pytest.raises(DataError, match=r"/proc cannot be written to .*`data\.cache_dir`"):
            digest_files([], Path("/proc"))

    def test_stays_empty(self, tmp_path: Path) -> None:
        digest_files([], tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []
