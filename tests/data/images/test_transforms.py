from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torchvision.transforms.v2.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)

from vitatt.data.images.transforms import TrainingAugmentation, _Colour, _Position


def gradient_image(size: int = 32) -> NDArray[np.uint8]:
    y, x = np.mgrid[:size, :size] * (255 / (size - 1))
    return np.stack([x, y, np.full_like(x, 128)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 32])
def test_gives_pixels_of_the_size(size: int) -> None:
    changed = TrainingAugmentation(size)(gradient_image(), 1)
    assert changed.shape == (size, size, 3)
    assert changed.dtype == np.uint8


def test_the_seed_decides_whatever_came_before() -> None:
    one, other = TrainingAugmentation(32), TrainingAugmentation(32)
    first = [one(gradient_image(), seed) for seed in range(8)]
    backwards = [other(gradient_image(), seed) for seed in reversed(range(8))][::-1]
    np.testing.assert_array_equal(first, backwards)
    assert len({image.tobytes() for image in first}) == 8


def test_the_whole_range_of_seeds() -> None:
    augmentation = TrainingAugmentation(32)
    for seed in (0, 2**31, 2**32 - 1):
        assert augmentation(gradient_image(), seed).shape == (32, 32, 3)


def test_the_input_stays_as_it_is() -> None:
    original = gradient_image()
    original.flags.writeable = False
    for seed in range(10):
        TrainingAugmentation(32)(original, seed)
    np.testing.assert_array_equal(original, gradient_image())


def test_no_black_corners_and_colours_stay_near() -> None:
    plain = np.full((32, 32, 3), (200, 120, 90), np.uint8)
    augmentation = TrainingAugmentation(32)
    for seed in range(50):
        changed = augmentation(plain, seed).astype(int)
        assert np.ptp(changed, axis=(0, 1)).max() <= 2  # no border, no gradient
        assert np.abs(changed.mean((0, 1)) - (200, 120, 90)).max() < 70


BOX = (3, 5, 29, 25)


def position(image: NDArray[np.uint8], transposed: bool, flip: int | None, angle: float) -> Any:
    step = _Position(24, scale=(0.6, 1.0), ratio=(0.8, 1.25), angle=30, turned=0.5)
    return step.apply(image, BOX, transposed, flip, angle)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("flip", [None, -1, 0, 1])
def test_orientations(transposed: bool, flip: int | None) -> None:
    part = Image.fromarray(gradient_image()).resize((24, 24), Image.Resampling.BILINEAR, BOX)
    expected = np.asarray(part).astype(int)
    expected = expected.swapaxes(0, 1) if transposed else expected
    expected = expected[::-1] if flip in (0, -1) else expected
    expected = expected[:, ::-1] if flip in (1, -1) else expected
    for angle in (0, 1e-9):  # a turn by next to nothing goes by the matrix
        assert np.abs(position(gradient_image(), transposed, flip, angle) - expected).max() <= 1


@pytest.mark.parametrize("angle", [-30, 12])
def test_a_turn_is_that_of_the_part(angle: float) -> None:
    upright = position(gradient_image(), True, 1, 0).astype(float)
    expected = ndimage.rotate(upright, angle, reshape=False, order=1)
    middle = np.s_[8:16, 8:16]  # no corner comes from outside the part
    assert np.abs(position(gradient_image(), True, 1, angle) - expected)[middle].max() <= 1.5


def test_the_eight_orientations_are_as_frequent_and_half_are_turned() -> None:
    step = _Position(24, scale=(0.6, 1.0), ratio=(0.8, 1.25), angle=30, turned=0.5)
    step.set_random_seed(0)
    drawn = [step.get_params_dependent_on_data({"shape": (32, 32, 3)}, {}) for _ in range(2000)]
    counts = Counter((each["transposed"], each["flip"]) for each in drawn)
    assert len(counts) == 8
    assert min(counts.values()) > 200
    angles = np.array([each["angle"] for each in drawn])
    assert 0.46 < np.mean(angles != 0) < 0.54
    assert 29 < np.abs(angles).max() <= 30


# By a third of a turn a hue goes from red to green, whether it goes in a circle or, as
# torchvision's, in the hexagon of HSV.
FACTORS = {"brightness": 1.15, "contrast": 0.85, "saturation": 1.2, "hue": 1 / 3}
CHANGES = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


@pytest.mark.parametrize("order", [[0], [1], [2], [3], [2, 1, 3, 0], [3, 0, 1, 2]])
def test_colours_agree_with_torchvision(order: list[int]) -> None:
    skin = 0.3 * gradient_image() + 0.7 * np.array((200, 120, 90))
    image = skin.astype(np.uint8)
    expected = torch.from_numpy(image).permute(2, 0, 1)
    for number in order:
        expected = CHANGES[number](expected, list(FACTORS.values())[number])
    changed = _Colour().apply(image, **FACTORS, order=order)
    difference = np.abs(changed - expected.permute(1, 2, 0).numpy().astype(float))
    assert difference.max() <= len(order)  # torchvision rounds down after each step


def test_changes_come_independently() -> None:
    augmentation = TrainingAugmentation(32)
    halves = np.full((32, 32, 3), (200, 120, 90), np.uint8)
    halves[:, 16:] = (90, 60, 40)
    coloured, turned = [], []
    for seed in range(300):
        changed = augmentation(halves, seed).astype(int)
        coloured.append(np.abs(changed[[0, 0, -1, -1], [0, -1, 0, -1]] - (200, 120, 90)).min(0))
        # The border between the halves is upright or level, if nothing was turned.
        turned.append(min(np.ptp(changed, axis=axis).max() for axis in (0, 1)))
    both = np.array([np.max(coloured, axis=1) > 0, np.array(turned) > 8])
    assert ((both.mean(axis=1) > 0.4) & (both.mean(axis=1) < 0.6)).all()
    assert abs(np.corrcoef(both)[0, 1]) < 0.2
