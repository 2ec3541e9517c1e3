"""Batches of cases with several images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vitatt.data.checks.check_data import check
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.dataset import PixelSource
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.masks import with_masks
from vitatt.data.images.reading import read_image
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.synthetic.demo import write_demo
from vitatt.types import DataError

SIZE = 32


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "demo"
    write_demo(folder, dataset="derm7pt", num_cases=60, image_size=48)
    return folder


@pytest.fixture
def module(demo: Path, tmp_path: Path) -> Callable[..., LesionDataModule]:
    root = Path(shutil.copytree(demo, tmp_path / "data"))

    def make(root: Path = root) -> LesionDataModule:
        return LesionDataModule(
            *("derm7pt", str(root)),
            num_folds=3,
            inner_folds=3,
            image_size=SIZE,
            cache_dir=str(tmp_path / "cache"),
        )

    make.root = root  # type: ignore[attr-defined]
    return make


def test_views_lie_one_below_the_other(module: Callable[..., LesionDataModule]) -> None:
    data = module()
    assert data.task.views == ("close-up", "dermoscopic")
    cases = data.cases("val")
    batch = data.dataset_of("val").__getitems__(range(len(cases)))
    assert batch.pixels.shape == (len(cases), 3, 2 * SIZE, SIZE)
    assert not batch.image.absent.any()
    for pixels, images in zip(batch.pixels, cases["image"], strict=True):
        for view, path in enumerate(images):
            own = pixels[:, view * SIZE : (view + 1) * SIZE].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(own, read_image(path, SIZE))


def test_views_are_augmented_apart(demo: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in sorted((demo / "images" / "demo").glob("c*.jpg"))[:8]]
    cache = ImageCache(paths, size=SIZE, folder=tmp_path)
    slots = cache.rows(paths)[:, None].repeat(2, axis=1)  # the same image twice
    source = PixelSource(cache, slots, TrainingAugmentation(SIZE))
    pixels = source.fetch(np.arange(8), range(8)).values
    assert not any(one[:, :SIZE].equal(one[:, SIZE:]) for one in pixels)
    assert source.fetch(np.arange(8), range(8)).values.equal(pixels)
    plain = PixelSource(cache, slots).fetch(np.arange(8), range(8)).values
    assert plain[:, :, :SIZE].equal(plain[:, :, SIZE:])


@pytest.mark.filterwarnings("ignore:1 images that meta.csv names have no file")
def test_an_unreadable_view_is_absent(module: Callable[..., LesionDataModule]) -> None:
    root = module.root
    folder = root / "images" / "demo"
    (folder / "c0001.jpg").write_text("no image")
    for name in ("c0002.jpg", "d0002.jpg"):
        (folder / name).write_text("none either")
    (folder / "d0003.jpg").unlink()
    with pytest.warns(UserWarning, match="3 image files cannot be read"):
        frame = (data := module(root)).labelled.frame
    assert frame.height == 59
    assert data.labelled.left_out().keys() == {"2"}
    batch = data.make_dataset("train", frame.filter(pl.col("case_id").is_in(["1", "3", "4"])))[
        [0, 1, 2]
    ]
    assert batch.case_id == ["1", "3", "4"]
    assert batch.image.absent.tolist() == [[True, False], [False, True], [False, False]]
    assert (batch.pixels[0, :, :SIZE] == 0).all()
    assert (batch.pixels[0, :, SIZE:] > 0).any()
    text = check(data).text
    assert "Cases with each view\n  close-up: 60\n  dermoscopic: 59\n  all of them: 59" in text
    assert "Cases without an image: 0" in text


@pytest.mark.filterwarnings("ignore:1 pairs of images under two cases are nearly")
def test_cases_that_share_any_image_stay_together(module: Callable[..., LesionDataModule]) -> None:
    root = module.root
    folder = root / "images" / "demo"
    shutil.copy(folder / "c0001.jpg", folder / "d0009.jpg")
    with Image.open(folder / "d0005.jpg") as image:
        image.save(folder / "c0007.jpg", quality=80)
    with pytest.warns(UserWarning, match="2 cases share an image with another case"):
        frame = module(root).labelled.frame
    group = dict(frame.select("case_id", "group").iter_rows())
    assert group["1"] == group["9"]
    assert group["5"] == group["7"], "nearly the same image"
    assert group["1"] != group["5"]
    assert len(set(group.values())) == 58


@pytest.mark.filterwarnings("ignore:.* images that meta.csv names have no file")
def test_a_view_that_no_training_case_has(module: Callable[..., LesionDataModule]) -> None:
    for path in (module.root / "images" / "demo").glob("d*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match=r"view 'dermoscopic' is absent in all \d+ training cases"):
        _ = module().task


def test_masks_are_of_one_image(module: Callable[..., LesionDataModule], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="these cases have several views"):
        with_masks(module().labelled.frame, tmp_path)
