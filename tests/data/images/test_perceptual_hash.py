"""Hashes against the package `imagehash`, and the search for pairs against all comparisons."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images import perceptual_hash
from vitatt.data.images.perceptual_hash import MOST_BITS, Hashes, close_pairs, grey, hash_images
from vitatt.data.synthetic.images import draw


@pytest.fixture(scope="module")
def lesions() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.stack([draw(rng, 64, "dark_dots", rng.uniform(0, 1)).image for _ in range(40)])


def test_grey_is_that_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(grey(pixels), np.asarray(Image.fromarray(pixels).convert("L")))


def test_equals_the_hash_of_imagehash(lesions: NDArray[np.uint8]) -> None:
    found = np.unpackbits(hash_images(lesions).bits, axis=1).astype(bool)
    for bits, pixels in zip(found, lesions, strict=True):
        expected = imagehash.phash(Image.fromarray(pixels), hash_size=16)
        np.testing.assert_array_equal(bits, expected.hash.ravel())


def random_hashes(count: int, seed: int, *, looks: int = 35) -> Hashes:
    """Hashes of which many differ from that of another image in 0 to 100 bits."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (count, 256), dtype=np.uint8)
    look = rng.normal(size=(count, looks))
    for row in range(max(1, count // 2), count):
        original = rng.integers(row)
        changed = rng.permutation(256)[: rng.integers(0, 100)]
        bits[row] = bits[original]
        bits[row, changed] ^= 1
        look[row] = look[original] + rng.normal(scale=0.05, size=looks)
    look /= np.linalg.norm(look, axis=1, keepdims=True)
    return Hashes(np.packbits(bits, axis=1), look.astype(np.float32), np.full(count, 50.0))


def all_close(hashes: Hashes) -> set[tuple[int, int]]:
    bits = np.unpackbits(hashes.bits, axis=1)
    return {
        (one, int(other))
        for one in range(len(bits))
        for other in np.flatnonzero((bits[one] != bits).sum(axis=1) <= MOST_BITS)
        if one < other
    }


@pytest.mark.parametrize("one_cell", [1000, 10])
def test_finds_what_comparing_all_finds(one_cell: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one cell, and in cells around 20 of 400 images."""
    monkeypatch.setattr(perceptual_hash, "_ONE_CELL", one_cell)
    monkeypatch.setattr(perceptual_hash, "_BLOCK", 700)  # several blocks per cell
    hashes = random_hashes(400, seed=1)
    pairs = close_pairs(hashes)
    assert len(pairs) > 100
    assert {(int(one), int(other)) for one, other in pairs} == all_close(hashes)
    np.testing.assert_array_equal(pairs, np.unique(pairs, axis=0))


@pytest.mark.parametrize("one_cell", [1000, 100])
def test_a_crowd_does_not_fill_the_memory(one_cell: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand copies are half a million pairs; all of them stay linked."""
    monkeypatch.setattr(perceptual_hash, "_ONE_CELL", one_cell)
    one = random_hashes(1, seed=0)
    crowd = Hashes(*(np.repeat(values, 1000, axis=0) for values in one))
    pairs = close_pairs(crowd)
    assert len(pairs) <= 1000
    assert set(pairs.ravel().tolist()) == set(range(1000))
    assert set(pairs[:, 1].tolist()) == set(range(1, 1000)), "each is linked to an earlier one"


def test_images_without_contrast_are_in_no_pair(lesions: NDArray[np.uint8]) -> None:
    flat = np.random.default_rng(0).integers(100, 103, (3, 64, 64, 3), dtype=np.uint8)
    hashes = hash_images(np.concatenate([flat, lesions[:1], lesions[:1]]))
    assert (hashes.contrast[:3] < perceptual_hash.FLAT).all()
    assert close_pairs(hashes).tolist() == [[3, 4]]
    black = hash_images(np.zeros((2, 64, 64, 3), np.uint8))
    assert np.isfinite(black.look).all()
    assert close_pairs(black).tolist() == []


def test_no_pairs() -> None:
    assert close_pairs(random_hashes(1, seed=0)).shape == (0, 2)
