"""Two files of one case."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vitatt.data.cases import load_cases
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.data.images import digests
from vitatt.data.images.files import ImageFiles, index_images, require_same_content
from vitatt.data.images.reading import read_image
from vitatt.types import DataError

Save = Callable[..., Path]
Make = Callable[..., LesionDataModule]


def same_size(path: Path) -> Path:
    """Another image of as many bytes, whose pixels differ."""
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    return path


def test_equal_files_count_once(save_image: Save, tmp_path: Path) -> None:
    one, other = (save_image(tmp_path / folder / "a.png") for folder in "xy")
    files = index_images(tmp_path, (".png",))
    assert files.paths == {"a.png": str(one)}
    pairs = files.pairs(pl.Series(["a.png", "b.png", None]))
    assert pairs == ((str(one), str(other)),)
    require_same_content(pairs, tmp_path / "cache")


def test_of_one_size_but_other_content(save_image: Save, tmp_path: Path) -> None:
    one = save_image(tmp_path / "x" / "a.png")
    other = same_size(Path(shutil.copytree(tmp_path / "x", tmp_path / "y")) / "a.png")
    assert one.stat().st_size == other.stat().st_size
    pairs = index_images(tmp_path, (".png",)).pairs(pl.Series(["a.png"]))
    message = rf"Two different files are named a\.png: {one} and {other}\. Keep one of them\."
    with pytest.raises(DataError, match=message):
        require_same_content(pairs, tmp_path / "cache")


def test_three_files_one_of_them_other(save_image: Save, tmp_path: Path) -> None:
    for folder in "xyz":
        save_image(tmp_path / folder / "a.png")
    same_size(tmp_path / "z" / "a.png")
    pairs = index_images(tmp_path, (".png",)).pairs(pl.Series(["a.png"]))
    with pytest.raises(DataError, match=r"x/a\.png and .*z/a\.png"):
        require_same_content(pairs, tmp_path / "cache")


def test_files_of_no_case_may_differ(save_image: Save, tmp_path: Path) -> None:
    for seed, folder in enumerate("xy"):
        save_image(tmp_path / folder / "thumb.png", seed=seed, size=8 + seed)
    assert index_images(tmp_path, (".png",)).pairs(pl.Series(["a.png"])) == ()


def test_a_link_to_the_file_is_the_file(save_image: Save, tmp_path: Path) -> None:
    path = save_image(tmp_path / "x" / "a.png")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "a.png").symlink_to(path)
    files = index_images(tmp_path, (".png",))
    assert files.doubles
    assert files.pairs(pl.Series(["a.png"])) == ()


def test_one_that_cannot_be_opened(save_image: Save, tmp_path: Path) -> None:
    one, other = (save_image(tmp_path / folder / "a.png") for folder in "xy")
    other.unlink()
    with pytest.raises(DataError, match=rf"but {other} cannot be opened to compare them"):
        require_same_content([(str(one), str(other))], tmp_path / "cache")


def test_are_read_once(save_image: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [tuple(str(save_image(tmp_path / folder / "a.png")) for folder in "xy")]
    require_same_content(pairs, tmp_path / "cache")  # type: ignore[arg-type]
    monkeypatch.setattr(digests, "_digest_file", lambda path: pytest.fail(f"{path} is known"))
    require_same_content(pairs, tmp_path / "cache")  # type: ignore[arg-type]


def test_in_a_dataset(pad_copy: Path, tmp_path: Path) -> None:
    path = sorted((pad_copy / "images").iterdir())[0]
    (pad_copy / "again").mkdir()
    other = Path(shutil.copy2(path, pad_copy / "again"))

    def load() -> pl.DataFrame:
        dataset = DATASETS["pad_ufes_20"]
        return load_cases(
            dataset, pad_copy, labelled=True, image_size=16, cache_dir=tmp_path / "cache"
        ).frame

    assert load().height == 240
    same_size(other)
    with pytest.raises(DataError, match=rf"Two different files are named {path.name}: "):
        load()
    same_size(other)  # as it was
    assert load().height == 240


def test_another_project_with_one_cache(
    make_module: Make, pad_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same relative paths, sizes and times, other pixels."""
    cache = str(tmp_path / "cache")
    for name in ("one", "two"):
        shutil.copytree(pad_demo, tmp_path / name / "data")
    images = sorted((tmp_path / "two" / "data" / "images").iterdir())
    first, second = images[:2]
    kept = second.read_bytes()
    monkeypatch.chdir(tmp_path / "one")
    make_module(root="data", cache_dir=cache).setup("fit")
    second.write_bytes(kept[:-20] + bytes([kept[-20] ^ 1]) + kept[-19:])
    shutil.copystat(tmp_path / "one" / "data" / "images" / second.name, second)
    monkeypatch.chdir(tmp_path / "two")
    usable = make_module(root="data", cache_dir=cache).labelled
    path = f"data/images/{second.name}"
    assert usable.cache.digests[path] == digests.digest(second.read_bytes())
    if path not in usable.cache.unreadable:
        pixels = usable.cache.pixels[usable.cache.rows([path])[0]]
        np.testing.assert_array_equal(pixels, read_image(second, 32))
    assert usable.cache.digests[f"data/images/{first.name}"] == digests.digest(first.read_bytes())


def name_of(files: ImageFiles, *names: str | None) -> list[str | None]:
    found = files.of(pl.Series(names, dtype=pl.String)).to_list()
    return [None if path is None else Path(path).name for path in found]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a", "a.png"),
        ("A.PNG", "a.png"),
        ("a.png", "A.PNG"),
        ("a.jpg", "a.png"),
        ("a.jpeg", "a.jpg"),
        ("images/sub/a.png", "a.png"),
        (r"C:\photos\SUB\a.png", "a.png"),
        ("Mu\u0308ller.jpg", "M\u00fcller.jpg"),
        ("a", "a.webp"),
        ("a", "a.TIF"),
        ("lesion.1", "lesion.1.jpg"),
        ("\u00c9.png", "\u00e9.jpg"),
    ],
)
def test_a_name_that_differs_slightly(name: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / file).touch()
    (tmp_path / "other.png").touch()
    files = index_images(tmp_path)
    names = pl.Series([name, "gone", None])
    assert name_of(files, name, "gone", None) == [file, None, None]
    (note,) = files.notes_on(names)
    assert note.startswith("1 images are named differently in table and folder")
    assert note.endswith(f"'{name}' is {tmp_path / 'sub' / file}.")


def test_an_exact_name_comes_first(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        (tmp_path / name).touch()
    files = index_images(tmp_path)
    assert name_of(files, "a.png", "a.jpg") == ["a.png", "a.jpg"]
    assert files.notes_on(pl.Series(["a.png", "b.png"])) == ()


def test_a_folder_in_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "P8").mkdir()
    (tmp_path / "P8" / "1.jpg").touch()
    files = index_images(tmp_path)
    assert name_of(files, "P9/1.jpg") == [None]
    assert name_of(files, "data/P8/1.jpg") == ["1.jpg"]


def test_images_in_another_kind_of_archive(tmp_path: Path) -> None:
    (tmp_path / "part_1.tar.gz").touch()
    with pytest.raises(DataError, match=r"zip archives or HDF5 files, but got .*part_1\.tar\.gz"):
        index_images(tmp_path, places=["part_1.tar.gz"])


def test_what_may_mean_several_files_has_none(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        (tmp_path / name).touch()
    files = index_images(tmp_path)
    assert name_of(files, "a") == [None]  # two files
    assert name_of(files, "b", "B.PNG") == [None, None]  # two cases
    assert name_of(files, "b", "b.png") == [None, "b.png"]  # another case has the file
