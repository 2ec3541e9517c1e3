"""Every kind of image gives the pixels that the data module reads from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitatt.data.images.reading import read_image
from vitatt.inference import Predictor
from vitatt.inference.images import image_name, read_pixels
from vitatt.types import UsageError

SIZE = 24


@pytest.fixture
def picture() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))


@pytest.fixture
def turned(picture, tmp_path) -> Path:
    """A file whose camera was turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


def test_all_kinds_of_one_image(picture, tmp_path):
    path = tmp_path / "lesion.png"
    picture.save(path)
    expected = read_image(path, SIZE)
    with Image.open(path) as opened:
        kinds = [str(path), path, path.read_bytes(), picture, np.asarray(picture), opened]
        for image in kinds:
            assert np.array_equal(read_pixels(image, SIZE), expected), type(image)
        assert opened.size == (60, 40)
    assert expected.shape == (SIZE, SIZE, 3)


def test_the_rotation_tag_is_applied(picture, turned):
    upright = np.asarray(picture.transpose(Image.Transpose.ROTATE_270))
    expected = read_pixels(upright, SIZE)
    assert not np.array_equal(expected, read_pixels(picture, SIZE))
    with Image.open(turned) as opened:
        for image in (turned, turned.read_bytes(), opened):
            assert np.array_equal(read_pixels(image, SIZE), expected), type(image)


def test_a_large_jpeg_is_decoded_as_in_training(tmp_path):
    path = tmp_path / "large.jpg"
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    noise.resize((640, 480), Image.Resampling.BICUBIC).save(path)
    expected = read_image(path, SIZE)
    assert np.array_equal(read_pixels(path.read_bytes(), SIZE), expected)
    with Image.open(path) as opened:
        differences = read_pixels(opened, SIZE).astype(int) - expected
    assert 0 < np.abs(differences).max() <= 4  # decoded whole by Pillow, at a quarter from the file


def test_predictions_of_all_kinds_are_equal(save, data, demo_root):
    predictor = Predictor.load(save(data), device="cpu")
    path = next((demo_root / "images").iterdir())
    with Image.open(path) as opened:
        kinds = [path, path.read_bytes(), opened, np.asarray(opened.convert("RGB"))]
        first, *others = predictor.predict_batch(kinds)
    assert all(one.probabilities == pytest.approx(first.probabilities) for one in others)


def test_names(picture):
    assert image_name("somewhere/lesion.jpg") == "lesion.jpg"
    assert image_name(picture) == "image"


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\) and type uint8"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\)"),
        (np.zeros((8, 8, 3), np.float32), "type float32"),
    ],
)
def test_other_arrays(array, found):
    with pytest.raises(UsageError, match=rf"\(H, W, 3\) and type uint8, but got .*{found}"):
        read_pixels(array, SIZE)


def test_what_is_no_image(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    for image, said in (
        ("nowhere.jpg", r"image file nowhere\.jpg does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "text.jpg", r"text\.jpg is no image"),
        (tmp_path / "empty.jpg", r"empty\.jpg is empty"),
        (b"", "image is empty"),
        (b"no image", "image is no image"),
        (5, "an array .* but got a int"),
    ):
        with pytest.raises(UsageError, match=said):
            read_pixels(image, SIZE)
