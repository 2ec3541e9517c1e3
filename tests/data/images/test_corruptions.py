"""Corrupted images: the same by seed, further with strength, and what each is meant to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from vitatt.data.images.corruptions import CORRUPTIONS, corrupt
from vitatt.data.synthetic.images import draw

STRENGTHS = range(1, 6)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [draw(rng, 112, None, tone).image for tone in (0.1, 0.4, 0.6, 0.9)]


def change(images, name: str, strength: int) -> float:
    """Mean absolute difference, over all pixels and images."""
    return float(
        np.mean(
            [
                np.abs(corrupt(image, name, strength, seed=seed).astype(int) - image).mean()
                for seed, image in enumerate(images)
            ]
        )
    )


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_further_with_strength(name, images):
    changes = [change(images, name, strength) for strength in STRENGTHS]
    assert changes[0] > 0.2
    assert all(np.diff(changes) > 0), changes


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_decided_by_image_strength_and_seed(name, images):
    image, before = images[0], images[0].copy()
    one, again = (corrupt(image, name, 3, seed=7) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == image.shape
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(image, before)
    others = [corrupt(image, name, 3, seed=seed) for seed in range(8, 14)]
    random = any((other != one).any() for other in others)
    assert random == (name in ("brightness", "colour", "hair"))


def test_blur_is_gaussian(images):
    for strength, sigma in zip(STRENGTHS, (0.5, 1, 1.5, 2, 3), strict=True):  # half of 224 pixels
        expected = gaussian_filter(images[0].astype(float), (sigma, sigma, 0), mode="nearest")
        blurred = corrupt(images[0], "blur", strength, seed=0)
        assert np.abs(blurred - expected).mean() < 1


def test_brightness_is_a_factor(images):
    factors = set()
    for seed in range(8):
        changed = corrupt(images[3], "brightness", 5, seed=seed)
        factor = 2.0 if changed.mean() > images[3].mean() else 0.5
        expected = [min(round(int(v) * factor), 255) for v in images[3].ravel()]
        np.testing.assert_array_equal(changed.ravel(), expected)
        factors.add(factor)
    assert factors == {0.5, 2.0}


def test_colour_moves_the_channels_apart():
    grey = np.full((8, 8, 3), 100, np.uint8)
    changed = corrupt(grey, "colour", 5, seed=1).astype(int) - 100
    assert np.abs(changed).max() == 40
    assert abs(changed[0, 0].sum()) <= 1  # gains add up to none


def test_hairs_stay_as_more_come():
    skin = np.full((96, 96, 3), 200, np.uint8)
    covered = [corrupt(skin, "hair", strength, seed=3) < 190 for strength in STRENGTHS]
    for fewer, more in itertools.pairwise(covered):
        assert fewer.sum() < more.sum()
        assert not (fewer & ~more).any()
    assert 0.005 < covered[0].mean() < covered[-1].mean() < 0.5


def test_downscaled_as_read_from_a_small_image():
    fine = np.tile(np.array([[0, 255]], np.uint8), (32, 16))[..., None].repeat(3, 2)
    assert np.abs(corrupt(fine, "downscale", 1, seed=0).astype(int) - 127.5).max() < 1


@pytest.mark.parametrize(
    ("image", "strength", "message"),
    [
        (np.zeros((4, 4, 3)), 1, "uint8"),
        (np.zeros((4, 4), np.uint8), 1, r"\(4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), 0, "got 0"),
        (np.zeros((4, 4, 3), np.uint8), 6, "got 6"),
    ],
)
def test_what_it_refuses(image, strength, message):
    with pytest.raises(ValueError, match=message):
        corrupt(image, "blur", strength, seed=0)
