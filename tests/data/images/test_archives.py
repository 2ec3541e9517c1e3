"""Images in archives: several processes, odd entries, damage."""

from __future__ import annotations

import io
import multiprocessing
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from vitatt.data.images.archives import content, paths_in
from vitatt.data.images.reading import read_image
from vitatt.types import DataError


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name  # also an empty one
            archive.writestr(info, data)
    return path


def read_all(paths: list[str], expected: list[bytes], order: int) -> None:
    for _ in range(5):
        for n in np.random.default_rng(order).permutation(len(paths)):
            assert content(paths[n]) == expected[n], paths[n]


def test_forked_processes_do_not_move_each_other(tmp_path: Path) -> None:
    images = [jpeg(seed) for seed in range(100)]
    zipped(tmp_path / "a.zip", *((f"{n}.jpg", data) for n, data in enumerate(images)))
    paths = paths_in(str(tmp_path / "a.zip"))
    content(paths[0])
    fork = multiprocessing.get_context("fork")
    readers = [fork.Process(target=read_all, args=(paths, images, order)) for order in range(4)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    assert [one.exitcode for one in readers] == [0, 0, 0, 0]


def test_entries_of_zip_archives(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("", b"x"), ("b/", b""), ("b/a.jpg", jpeg()))
    assert paths_in(str(path)) == [f"{path}/b/a.jpg"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "same.zip", ("a.jpg", jpeg()), ("a.jpg", jpeg()))
    assert paths_in(str(path)) == [f"{path}/a.jpg"]
    path = zipped(tmp_path / "other.zip", ("a.jpg", jpeg()), ("a.jpg", jpeg(1)))
    with pytest.raises(DataError, match=r"other\.zip holds two different files called a\.jpg"):
        paths_in(str(path))


@pytest.mark.parametrize("name", ["a.zip", "a.hdf5"])
def test_damaged_archives(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no archive")
    with pytest.raises(DataError, match=rf"{name} cannot be read as .*\. Fetch it anew, or move"):
        paths_in(str(tmp_path / name))


def test_entries_of_hdf5_files(tmp_path: Path) -> None:
    data = np.frombuffer(jpeg(), np.uint8)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["bytes"] = np.void(jpeg())
        file["text"] = np.bytes_(jpeg())
        file["array"] = data
        file.create_dataset("packed", data=data, compression="gzip")
        file.create_dataset("vector", (), h5py.vlen_dtype(np.uint8))
        file["vector"][()] = data
    for path in paths_in(str(tmp_path / "a.hdf5")):
        assert content(path) == jpeg(), path


def test_entries_of_hdf5_files_that_are_no_images(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["pixels"] = np.zeros((4, 4, 3), np.uint8)
        file["numbers"] = np.zeros(9)
        file.create_group("group")
        file["gone"] = h5py.SoftLink("/nowhere")
    for name, found in {
        "pixels": r"It is uint8 of shape \(4, 4, 3\), not the bytes of an image file",
        "numbers": r"It is float64 of shape \(9,\), not the bytes of an image file",
        "group": "It is a group, not the bytes of an image file",
        "gone": "No such image in the archive",
    }.items():
        with pytest.raises(DataError, match=rf"a\.hdf5/{name} cannot be decoded: .*{found}"):
            read_image(f"{tmp_path}/a.hdf5/{name}", 8)
