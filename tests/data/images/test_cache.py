from __future__ import annotations

import errno
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images import cache as image_cache
from vitatt.data.images import digests
from vitatt.data.images.cache import ImageCache, default_folder
from vitatt.data.images.reading import read_image
from vitatt.types import DataError

pytestmark = pytest.mark.long

Save = Callable[..., Path]
CHUNK = image_cache._CHUNK
MANY = 2 * CHUNK + 40
"""Images of a build that is interrupted: two whole chunks and a bit."""


def write_images(folder: Path, count: int, *, size: int = 4, seed: int = 0) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    paths = [folder / f"{number:04d}.png" for number in range(count)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return [str(path) for path in paths]


def assert_right(cache: ImageCache, paths: list[str]) -> None:
    found = cache.pixels[cache.rows(paths)]
    np.testing.assert_array_equal(found, [read_image(path, cache.size) for path in paths])


def forbid(monkeypatch: pytest.MonkeyPatch, name: str, module: ModuleType = image_cache) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError(f"{name} must not be called again")

    monkeypatch.setattr(module, name, fail)


def count_reads(monkeypatch: pytest.MonkeyPatch, *, stop_at: int | None = None) -> Iterator[int]:
    """Count decoded images; `stop_at` plays a person who presses Ctrl-C at that image."""
    counter = itertools.count(1)

    def read(path: str, size: int) -> NDArray[np.uint8]:
        if next(counter) == stop_at:
            raise KeyboardInterrupt
        return read_image(path, size)

    monkeypatch.setattr(image_cache, "read_image", read)
    return counter


def interrupt(paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    count_reads(monkeypatch, stop_at=at)
    with pytest.raises(KeyboardInterrupt):
        ImageCache(paths, size=4, folder=folder)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return write_images(tmp_path / "images", 12)


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    return write_images(tmp_path / "images", MANY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "below"


@pytest.mark.parametrize("size", [1, 7])
def test_holds_what_read_image_gives(size: int, paths: list[str], folder: Path) -> None:
    cache = ImageCache(paths, size=size, folder=folder)
    assert cache.pixels.shape == (12, size, size, 3)
    assert cache.pixels.dtype == np.uint8
    assert cache.unreadable == {}
    assert_right(cache, paths)
    assert_right(cache, paths[7:2:-2])


def test_pixels_cannot_be_changed(paths: list[str], folder: Path) -> None:
    cache = ImageCache(paths, size=4, folder=folder)
    with pytest.raises(ValueError, match="read-only"):
        cache.pixels[0] = 0


def test_nothing_but_the_cache_is_left(paths: list[str], folder: Path) -> None:
    ImageCache(paths, size=4, folder=folder)
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes <= {".u8", ".json", ".lock"}
    (file,) = folder.glob("*.u8")
    assert file.stat().st_size == 12 * 4 * 4 * 3


def test_second_time_nothing_is_decoded_or_read(
    paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ImageCache(paths, size=4, folder=folder)
    forbid(monkeypatch, "read_image")
    forbid(monkeypatch, "_digest_file", digests)
    assert_right(ImageCache(paths[::-1], size=4, folder=folder), paths)


def test_a_moved_dataset_finds_its_cache(
    paths: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ImageCache(paths, size=4, folder=folder)
    forbid(monkeypatch, "read_image")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    moved = [path.replace("/images/", "/elsewhere/") for path in paths]
    assert_right(ImageCache(moved, size=4, folder=folder), moved)


def test_a_changed_file_is_decoded_again(paths: list[str], folder: Path, save_image: Save) -> None:
    before = ImageCache(paths, size=4, folder=folder)
    old = before.pixels[before.rows(paths[3:4])].copy()
    stat = Path(paths[3]).stat()
    save_image(Path(paths[3]), seed=99, size=4)
    os.utime(paths[3], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    after = ImageCache(paths, size=4, folder=folder)
    assert_right(after, paths)
    assert not np.array_equal(after.pixels[after.rows(paths[3:4])], old)


def test_another_size_is_another_cache(paths: list[str], folder: Path) -> None:
    small = ImageCache(paths, size=4, folder=folder)
    large = ImageCache(paths, size=6, folder=folder)
    assert_right(small, paths)
    assert_right(large, paths)
    assert len(list(folder.glob("*.u8"))) == 2


def test_identical_files_share_a_row(paths: list[str], folder: Path) -> None:
    Path(paths[5]).write_bytes(Path(paths[2]).read_bytes())
    cache = ImageCache(paths, size=4, folder=folder)
    assert len(cache.pixels) == 11
    assert cache.rows([paths[2]]) == cache.rows([paths[5]])
    assert cache.digests[paths[2]] == cache.digests[paths[5]]
    assert len(set(cache.digests.values())) == 11
    assert_right(cache, paths)


def test_a_path_given_twice_is_one(paths: list[str], folder: Path) -> None:
    assert len(ImageCache([*paths, *paths], size=4, folder=folder).pixels) == 12


class TestUnreadable:
    def spoil(self, paths: list[str]) -> dict[str, str]:
        Path(paths[1]).write_text("not an image")
        Path(paths[4]).write_bytes(Path(paths[4]).read_bytes()[:60])
        Path(paths[8]).write_bytes(b"")
        return {paths[1]: "is no image", paths[4]: "cannot be decoded", paths[8]: "is empty"}

    def test_is_reported_with_the_reason(self, paths: list[str], folder: Path) -> None:
        expected = self.spoil(paths)
        for _ in ("built", "found"):
            cache = ImageCache(paths, size=4, folder=folder)
            assert set(cache.unreadable) == set(expected)
            for path, reason in expected.items():
                assert path in cache.unreadable[path]
                assert reason in cache.unreadable[path]
            assert_right(cache, [path for path in paths if path not in expected])
            with pytest.raises(KeyError):
                cache.rows([paths[1]])

    def test_names_the_file_where_it_now_is(
        self, paths: list[str], folder: Path, tmp_path: Path
    ) -> None:
        self.spoil(paths)
        ImageCache(paths, size=4, folder=folder)
        (tmp_path / "images").rename(tmp_path / "elsewhere")
        moved = [path.replace("/images/", "/elsewhere/") for path in paths]
        for path, reason in ImageCache(moved, size=4, folder=folder).unreadable.items():
            assert path in reason

    def test_names_each_of_two_identical_files(self, paths: list[str], folder: Path) -> None:
        for path in paths[:3]:
            Path(path).write_bytes(b"")
        unreadable = ImageCache(paths, size=4, folder=folder).unreadable
        assert set(unreadable) == set(paths[:3])
        assert all(path in reason for path, reason in unreadable.items())

    def test_a_repaired_file_is_read(
        self, paths: list[str], folder: Path, save_image: Save
    ) -> None:
        self.spoil(paths)
        ImageCache(paths, size=4, folder=folder)
        save_image(Path(paths[1]), seed=7, size=4)
        cache = ImageCache(paths, size=4, folder=folder)
        assert set(cache.unreadable) == {paths[4], paths[8]}
        assert_right(cache, paths[:4])

    def test_a_link_to_nowhere_costs_one_image(self, paths: list[str], folder: Path) -> None:
        # A checkout by git-annex or DataLad has such links for what was not fetched.
        Path(paths[6]).unlink()
        Path(paths[6]).symlink_to("nowhere")
        cache = ImageCache(paths, size=4, folder=folder)
        assert list(cache.unreadable) == [paths[6]]
        assert paths[6] in cache.unreadable[paths[6]]
        assert_right(cache, paths[:6])

    def test_a_link_to_nowhere_does_not_cost_the_cache(
        self, paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(paths[6]).unlink()
        Path(paths[6]).symlink_to("nowhere")
        good = [path for path in paths if path != paths[6]]
        ImageCache(paths, size=4, folder=folder)
        counted = count_reads(monkeypatch)
        assert_right(ImageCache(paths, size=4, folder=folder), good)
        assert next(counted) - 1 <= 1  # the link itself may be tried again
        assert len(list(folder.glob("*.u8"))) == 1

    def test_a_link_that_leads_somewhere_again(
        self, paths: list[str], folder: Path, save_image: Save
    ) -> None:
        Path(paths[6]).unlink()
        Path(paths[6]).symlink_to("fetched.png")
        ImageCache(paths, size=4, folder=folder)
        save_image(Path(paths[6]).with_name("fetched.png"), seed=5, size=4)
        cache = ImageCache(paths, size=4, folder=folder)
        assert cache.unreadable == {}
        assert_right(cache, paths)

    def test_all_of_them_is_an_error(self, paths: list[str], folder: Path) -> None:
        for number, path in enumerate(paths):
            Path(path).write_text(f"no image {number}")
        for _ in ("built", "found"):
            with pytest.raises(DataError, match=r"None of the 12 image files .*is no image"):
                ImageCache(paths, size=4, folder=folder)


class TestInterrupted:
    def test_killed_half_way(
        self, many: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = (
            "import itertools, json, os, signal, sys\n"
            "from pathlib import Path\n"
            "from vitatt.data.images import cache\n"
            "counter, read = itertools.count(1), cache.read_image\n"
            "def killed(path, size):\n"
            "    if next(counter) == int(sys.argv[2]):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return read(path, size)\n"
            "cache.read_image = killed\n"
            "cache.ImageCache(json.load(sys.stdin), size=4, folder=Path(sys.argv[1]))\n"
        )
        command = [sys.executable, "-c", script, str(folder), str(2 * CHUNK + 20)]
        done = subprocess.run(command, input=json.dumps(many), text=True, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not list(folder.glob("*.u8"))

        reads = count_reads(monkeypatch)
        cache = ImageCache(many, size=4, folder=folder)
        assert next(reads) - 1 == MANY - 2 * CHUNK
        assert_right(cache, many)

    def test_again_and_again(
        self, many: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(many[0]).write_text("no image")
        Path(many[-1]).write_text("neither")
        for at in (3, CHUNK + 3, CHUNK + 3):
            interrupt(many, folder, monkeypatch, at)
        count_reads(monkeypatch)
        cache = ImageCache(many, size=4, folder=folder)
        assert set(cache.unreadable) == {many[0], many[-1]}
        assert_right(cache, many[1:-1])

    @pytest.mark.parametrize("kept", [0, CHUNK // 2])
    def test_with_torn_marks(
        self, kept: int, many: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt(many, folder, monkeypatch, CHUNK + 3)
        (marks,) = folder.glob("*.marks")
        marks.write_bytes(marks.read_bytes()[:kept])
        interrupt(many, folder, monkeypatch, 3)
        count_reads(monkeypatch)
        assert_right(ImageCache(many, size=4, folder=folder), many)

    def test_and_then_the_part_was_deleted(
        self, many: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # By someone who looks for large files; the small file of marks stays.
        interrupt(many, folder, monkeypatch, CHUNK + 3)
        (partial,) = folder.glob("*.partial")
        partial.unlink()
        count_reads(monkeypatch)
        assert_right(ImageCache(many, size=4, folder=folder), many)


@pytest.mark.slow
def test_two_processes_take_turns(many: list[str], folder: Path, tmp_path: Path) -> None:
    script = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from vitatt.data.images import cache\n"
        "folder, own, other = map(Path, sys.argv[1:])\n"
        "paths, reads, read = json.load(sys.stdin), [], cache.read_image\n"
        "def slow(path, size):\n"
        "    reads.append(path)\n"
        "    time.sleep(0.002)\n"
        "    return read(path, size)\n"
        "cache.read_image = slow\n"
        "own.touch()\n"
        "while not other.exists():\n"
        "    time.sleep(0.001)\n"
        "own = cache.ImageCache(paths, size=4, folder=folder)\n"
        "sys.stdout.buffer.write(len(reads).to_bytes(4, 'big'))\n"
        "sys.stdout.buffer.write(own.pixels[own.rows(paths)].tobytes())\n"
    )
    ready = [str(tmp_path / "first"), str(tmp_path / "second")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), own, other],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for own, other in (ready, ready[::-1])
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(many).encode())
        process.stdin.close()
    expected = np.stack([read_image(path, 4) for path in many]).tobytes()
    reads = []
    for process in processes:
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        assert process.wait(60) == 0
        reads.append(int.from_bytes(output[:4], "big"))
        assert output[4:] == expected
    assert sorted(reads) == [0, MANY]


class TestFullDisk:
    @pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not reserved here")
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_is_told_before_the_work(
        self, code: int, paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: object) -> None:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            forbid(patch, "read_image")
            needed = 12 * 500 * 500 * 3 // 10**6
            with pytest.raises(
                DataError, match=rf"needs {needed} MB in .*`data\.cache_dir`"
            ) as error:
                ImageCache(paths, size=500, folder=folder)
        assert str(folder) in str(error.value)
        assert not list(folder.glob("*.partial"))
        assert_right(ImageCache(paths, size=4, folder=folder), paths)

    @pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not reserved here")
    def test_another_error_is_not_taken_for_it(
        self, paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*arguments: object) -> None:
            raise OSError(errno.EIO, "input/output error")

        monkeypatch.setattr(os, "posix_fallocate", broken)
        with pytest.raises(OSError, match="input/output error"):
            ImageCache(paths, size=4, folder=folder)

    def test_without_fallocate(
        self, paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        assert_right(ImageCache(paths, size=4, folder=folder), paths)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\0" * 200, b"\xff\xfe{}", b"[]", b'{"PATH": 3}'],
)
def test_a_damaged_ledger_costs_only_time(
    content: bytes, paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ImageCache(paths, size=4, folder=folder)
    (folder / "digests.json").write_bytes(content.replace(b"PATH", paths[0].encode()))
    forbid(monkeypatch, "read_image")
    assert_right(ImageCache(paths, size=4, folder=folder), paths)
    forbid(monkeypatch, "_digest_file", digests)  # and it is whole again
    assert_right(ImageCache(paths, size=4, folder=folder), paths)


@pytest.mark.parametrize(
    "damage",
    ["no pixels", "no summary", "empty summary", "list", "summary of another build", "cut short"],
)
def test_a_damaged_cache_is_built_again(damage: str, paths: list[str], folder: Path) -> None:
    ImageCache(paths, size=8, folder=folder)
    (pixels,), (summary,) = folder.glob("images-*.u8"), folder.glob("images-*.json")
    if damage.startswith("no "):
        (pixels if damage == "no pixels" else summary).unlink()
    elif damage == "cut short":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "summary of another build":
        summary.write_text(json.dumps({"0" * 32: " is no image."}))
    else:
        summary.write_text("" if damage == "empty summary" else "[1]")
    assert_right(ImageCache(paths, size=8, folder=folder), paths)
    assert json.loads(summary.read_text()) == {}


def test_two_datasets_share_the_ledger(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (write_images(tmp_path / str(seed), 5, seed=seed) for seed in (1, 2))
    for paths in (first, second):
        ImageCache(paths, size=4, folder=folder)
    forbid(monkeypatch, "_digest_file", digests)
    assert_right(ImageCache(first, size=4, folder=folder), first)
    assert_right(ImageCache(first + second, size=4, folder=folder), first + second)


def test_pickling_maps_anew(tmp_path: Path, folder: Path) -> None:
    paths = write_images(tmp_path / "images", 4)
    cache = ImageCache(paths, size=200, folder=folder)
    assert_right(cache, paths)
    content = pickle.dumps(cache)
    assert len(content) < 200 * 200
    copy = pickle.loads(content)
    assert copy.pixels is not cache.pixels
    assert isinstance(copy.pixels, np.memmap)
    assert_right(copy, paths)


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "vitatt"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "vitatt"


def test_default_folder_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:  # no HOME, and a user id without a name
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DataError, match=r"no home folder .* Name a folder as `data\.cache_dir`"):
        default_folder()


def test_a_ledger_that_cannot_be_written_costs_only_time(
    paths: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(digests, "whole_file", full)
    assert_right(ImageCache(paths, size=4, folder=folder), paths)
    assert not (folder / "digests.json").exists()
