from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitatt.data.transforms import TrainingAugmentation


def picture(size: int = 32) -> NDArray[np.uint8]:
    y, x = np.mgrid[:size, :size] * (255 / (size - 1))
    return np.stack([x, y, np.full_like(x, 128)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 32])
def test_gives_pixels_of_the_size(size: int) -> None:
    changed = TrainingAugmentation(size)(picture(), 1)
    assert changed.shape == (size, size, 3)
    assert changed.dtype == np.uint8


def test_the_seed_decides_whatever_came_before() -> None:
    one, other = TrainingAugmentation(32), TrainingAugmentation(32)
    first = [one(picture(), seed) for seed in range(8)]
    backwards = [other(picture(), seed) for seed in reversed(range(8))][::-1]
    np.testing.assert_array_equal(first, backwards)
    assert len({image.tobytes() for image in first}) == 8


def test_the_whole_range_of_seeds() -> None:
    augmentation = TrainingAugmentation(32)
    for seed in (0, 2**31, 2**32 - 1):
        assert augmentation(picture(), seed).shape == (32, 32, 3)


def test_the_input_stays_as_it_is() -> None:
    original = picture()
    original.flags.writeable = False
    for seed in range(10):
        TrainingAugmentation(32)(original, seed)
    np.testing.assert_array_equal(original, picture())


def test_no_black_corners_and_colours_stay_near() -> None:
    plain = np.full((32, 32, 3), (200, 120, 90), np.uint8)
    augmentation = TrainingAugmentation(32)
    for seed in range(50):
        changed = augmentation(plain, seed).astype(int)
        assert np.ptp(changed, axis=(0, 1)).max() <= 2  # no border, no gradient
        assert np.abs(changed.mean((0, 1)) - (200, 120, 90)).max() < 70
