"""Lesion masks: which cases have one, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.masks import check_folder, read_mask, with_masks
from vitatt.data.images.reading import read_image
from vitatt.data.synthetic.demo import DemoTruth
from vitatt.types import DataError


def cases(*images: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"case_id": [f"c{n}" for n in range(len(images))], "image": list(images)},
        schema={"case_id": pl.String, "image": pl.String},
    )


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def disc(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - 0.4 * height, columns - 0.6 * width) < 0.3 * min(height, width)


# Which cases.


def test_cases_with_a_mask_in_their_order(tmp_path: Path) -> None:
    for name in ("b_segmentation.png", "a_segmentation.png", "c.png", "d_segmentation.jpg"):
        save(tmp_path / name, np.zeros((4, 4)))
    (tmp_path / "e_segmentation.png").mkdir()
    frame = cases("/data/x/b.jpg", "/data/c.jpg", "/data/d.jpg", "/data/e.jpg", "/data/y/a.png")
    found = with_masks(frame, tmp_path)
    assert found["case_id"].to_list() == ["c0", "c4"]
    expected = [str(tmp_path / f"{name}_segmentation.png") for name in "ba"]
    assert found["mask"].to_list() == expected
    assert found.columns == [*frame.columns, "mask"]
    assert frame.columns == ["case_id", "image"], "the table given stays as it is"


@pytest.mark.parametrize("frame", [cases(), cases("/data/a.png", "/data/b.png")])
def test_no_case_with_a_mask(frame: pl.DataFrame, tmp_path: Path) -> None:
    found = with_masks(frame, tmp_path)
    assert found.height == 0
    assert found.schema["mask"] == pl.String


def test_only_the_last_suffix_of_an_image_is_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.b_segmentation.png", np.zeros((4, 4)))
    assert with_masks(cases("/data/a.b.png", "/data/a.c.png"), tmp_path).height == 1


def test_two_images_of_one_mask(tmp_path: Path) -> None:
    save(tmp_path / "a_segmentation.png", np.zeros((4, 4)))
    with pytest.raises(DataError, match=r"/x/a\.png and /y/a\.jpg would have one lesion mask, a_"):
        with_masks(cases("/x/a.png", "/y/a.jpg"), tmp_path)
    assert with_masks(cases("/x/a.png", "/x/a.png"), tmp_path).height == 2


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode("masks \xe9".encode("latin-1"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no names but UTF-8")
    with pytest.raises(DataError, match=r"folder of lesion masks is no UTF-8: .*masks \\xe9"):
        with_masks(cases("/data/a.png"), folder)
    (tmp_path / f"{folder.name}_segmentation.png").touch()  # a stray file costs nothing
    save(tmp_path / "a_segmentation.png", np.zeros((4, 4)))
    assert with_masks(cases("/data/a.png"), tmp_path).height == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_such_folder(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    if kind == "file":
        folder.write_text("masks")
    message = r"folder of lesion masks .*masks does not exist.*<image name.*>_segmentation\.png"
    with pytest.raises(DataError, match=message):
        with_masks(cases("/data/a.png"), folder)
    with pytest.raises(DataError, match=message):
        check_folder(folder)


# How it is read.


@pytest.mark.parametrize("size", [1, 100])
def test_size_and_kind(size: int, tmp_path: Path) -> None:
    mask = read_mask(save(tmp_path / "mask.png", 255 * disc(30, 40)), size)
    assert mask.shape == (size, size)
    assert mask.dtype == np.bool_


def test_lesion_is_what_is_above_127(tmp_path: Path) -> None:
    grey = np.arange(256).reshape(16, 16)
    mask = read_mask(save(tmp_path / "mask.png", grey), 16)
    np.testing.assert_array_equal(mask, grey >= 128)
    assert read_mask(str(tmp_path / "mask.png"), 16).sum() == 128


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_modes_of_files(mode: str, tmp_path: Path) -> None:
    lesion = disc(20, 20)
    image = Image.fromarray((255 * lesion).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as saved:
        assert saved.mode == mode
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", 20), lesion)


def test_each_pixel_is_the_nearest_of_the_file(tmp_path: Path) -> None:
    lesion = disc(45, 70)
    found = read_mask(save(tmp_path / "mask.png", 255 * lesion), 20)
    rows = ((np.arange(20) + 0.5) * 45 / 20).astype(int)
    columns = ((np.arange(20) + 0.5) * 70 / 20).astype(int)
    np.testing.assert_array_equal(found, lesion[np.ix_(rows, columns)])


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (50, 50), (20, 20)])
def test_a_mask_is_scaled_as_its_image(shape: tuple[int, int], tmp_path: Path) -> None:
    """Image and mask of one drawing agree but for the edge, wherever the lesion lies."""
    lesion = disc(*shape)
    save(tmp_path / "image.png", np.repeat(255 * lesion[..., None], 3, axis=2))
    save(tmp_path / "mask.png", 255 * lesion)
    mask = read_mask(tmp_path / "mask.png", 32)
    seen = read_image(tmp_path / "image.png", 32)[..., 0] > 127
    assert (mask != seen).mean() < 0.03
    turned = mask[::-1], mask[:, ::-1], mask.T
    assert all((other != seen).mean() > 0.1 for other in turned)


@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_a_file_that_cannot_be_read(content: bytes | str, tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", 255 * np.random.default_rng(0).random((90, 90)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(DataError, match=rf"lesion mask {path} cannot be read: ."):
        read_mask(path, 16)


def test_a_wrong_size_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", 255 * disc(9, 9))
    with pytest.raises(ValueError, match="width") as error:
        read_mask(path, 0)
    assert not isinstance(error.value, DataError)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        read_mask(tmp_path / "gone.png", 16)


def test_masks_of_the_synthetic_data(
    make_module: Callable[..., LesionDataModule], pad_demo: Path
) -> None:
    frame = make_module().cases("test")
    masked = with_masks(frame, DemoTruth.load(pad_demo).masks)
    assert masked.drop("mask").equals(frame), "every case has one"
    masks = np.stack([read_mask(path, 32) for path in masked["mask"]])
    empty = ~masks.any((1, 2))
    assert 0 < empty.sum() < len(masks), "some lesions show no sign"
    for path, mask in zip(masked["mask"], masks, strict=True):
        np.testing.assert_array_equal(mask, np.asarray(Image.open(path)) == 255)
