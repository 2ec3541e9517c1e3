"""Perceptual hashes of small images, and pairs of images whose hashes are close.

The hash is that of the package `imagehash`: ``phash`` with 16 x 16 bits. A bit says whether one of
the 256 lowest frequencies (of the discrete cosine transform of 64 x 64 grey pixels) is above their
median. It hardly depends on brightness, contrast, resolution and compression.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

SIDE = 64
"""Side of the images that are hashed, in pixels."""

MOST_BITS = 72
"""Most bits of 256 in which the hashes of a pair differ: a crop by 4 % seldom changes more."""

FLAT = 2.0
"""Grey levels (standard deviation) below which an image has too little contrast for a hash."""

_BITS = 256
_CHUNK = 2048
_NEIGHBOURS = 16
_ONE_CELL = 16_384
_CELLS_PER_IMAGE = 4
_DECIMALS = 5  # of cosines in single precision
_BLOCK = 2**23


class Hashes(NamedTuple):
    """Hashes of images.

    Attributes:
        bits: Hash of each image, (N, 32) uint8, eight bits in each number.
        look: The lowest frequencies but brightness, of length 1, (N, 35) float32.
        contrast: Standard deviation of the grey values, (N,).
    """

    bits: NDArray[np.uint8]
    look: NDArray[np.float32]
    contrast: NDArray[np.float64]


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB pixels (..., 3) in grey (...), rounded as Pillow does (ITU-R 601-2)."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def hash_images(pixels: NDArray[np.uint8]) -> Hashes:
    """Return the hashes of RGB images, (N, 64, 64, 3)."""
    chunks = [_hash(pixels[start : start + _CHUNK]) for start in range(0, len(pixels), _CHUNK)]
    return Hashes(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def _hash(pixels: NDArray[np.uint8]) -> Hashes:
    values = grey(pixels).astype(np.float64)
    low = dctn(values, axes=(1, 2))[:, :16, :16]
    flat = low.reshape(len(low), _BITS)
    bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    look = low[:, :6, :6].reshape(len(low), 36)[:, 1:]
    length = np.linalg.norm(look, axis=1, keepdims=True)
    look = look / np.maximum(length, np.finfo(np.float64).tiny)
    return Hashes(bits, look.astype(np.float32), values.std(axis=(1, 2)))


def close_pairs(hashes: Hashes) -> NDArray[np.int64]:
    """Return the pairs of images whose hashes differ in at most `MOST_BITS` bits.

    Up to 16,384 images are all compared. More are put into cells around images drawn at random,
    each into the four whose look is most like its own, and compared within cells: the time grows as
    N ** 1.5. Chance pairs would grow as N ** 2. So at most 16,384 pairs are kept, or N if that is
    more, of each image its closest first. Images with less contrast than `FLAT` have no pairs.

    Args:
        hashes: Hashes of N images.

    Returns:
        Rows of each pair, the lower one first, in ascending order, (P, 2).
    """
    rows = np.flatnonzero(hashes.contrast >= FLAT)
    count = len(hashes.bits)
    keys, bits = [np.empty(0, np.int64)], [np.empty(0, np.int16)]
    for cell in _cells(hashes.look[rows]):
        for one, other, different in _close_within(hashes.bits, rows[cell]):
            keys.append(one * count + other)
            bits.append(different)
    key, first = np.unique(np.concatenate(keys), return_index=True)
    one, other = np.divmod(key, count)
    different = np.concatenate(bits)[first]
    # First all pairs that are the closest of their image, then all that are its second, ...
    order = np.lexsort((different, _places(one, different)))
    kept = np.sort(order[: max(_ONE_CELL, len(rows))])
    return np.stack([one[kept], other[kept]], axis=1)


def _places(one: NDArray[np.int64], different: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the place of each pair among those of its image, 0 for the closest one, (P,).

    Args:
        one: First image of each pair, in ascending order, (P,).
        different: Bits in which its hashes differ, (P,).
    """
    place = np.empty(len(one), np.int64)
    place[np.lexsort((different, one))] = np.arange(len(one)) - np.searchsorted(one, one)
    return place


def _cells(look: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    """Yield groups of rows, in ascending order, of which alike ones have one in common."""
    count = len(look)
    if count <= _ONE_CELL:
        yield np.arange(count)
        return
    # Each frequency counts the same: the lowest are alike in most images.
    look = look / (look.std(axis=0) + np.finfo(np.float32).eps)
    look /= np.maximum(np.linalg.norm(look, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    centres = look[np.random.default_rng(0).choice(count, int(np.sqrt(count)), replace=False)]
    nearest = [_nearest(look[start : start + _CHUNK], centres) for start in range(0, count, _CHUNK)]
    cell = np.concatenate(nearest).ravel()
    member = np.repeat(np.arange(count), _CELLS_PER_IMAGE)
    order = np.argsort(cell, kind="stable")
    yield from np.split(member[order], np.cumsum(np.bincount(cell, minlength=len(centres)))[:-1])


def _nearest(look: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the centres of the smallest angles to each look, (N, 4), in no order.

    Cosines are rounded: between equal centres, as copies make them, errors of the product would
    choose, which are not the same for each copy.
    """
    length = np.maximum(np.linalg.norm(look, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    cosines = ((look / length) @ centres.T).round(_DECIMALS)
    order = np.argpartition(-cosines, _CELLS_PER_IMAGE, axis=1)
    return order[:, :_CELLS_PER_IMAGE].copy()  # a view would keep all of it


def _close_within(
    bits: NDArray[np.uint8], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]]:
    """Yield pairs of some rows and in how many bits they differ, in blocks that fit into memory.

    Of an image in a crowd of alike ones, the 16 closest pairs are kept.
    """
    # The product of two hashes of -1 and 1 is the number of equal bits less that of others.
    signs = np.unpackbits(bits[rows], axis=1).astype(np.float32) * 2 - 1
    step = max(1, _BLOCK // max(1, len(rows)))
    for start in range(0, len(rows), step):
        product = signs[start : start + step] @ signs[start:].T
        one, other = np.nonzero(product >= _BITS - 2 * MOST_BITS)
        later = other > one
        one, other = one[later], other[later]
        different = ((_BITS - product[one, other]) / 2).astype(np.int16)
        kept = _places(one, different) < _NEIGHBOURS
        yield rows[start + one[kept]], rows[start + other[kept]], different[kept]
