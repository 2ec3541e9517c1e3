"""Images for the synthetic dataset: skin, a lesion, a sign at a random place, and a decoy.

The decoy is a mark in every image that is as conspicuous as a sign, but unrelated to the class: a
map of whatever is conspicuous finds decoys as often as signs. Everything but the sign is drawn
independently of the sign, and no sign extends beyond its mask, so that only the pixels in the mask
distinguish the signs. Lengths are relative to the image's side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Pattern = Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]
"""From generator and coordinates (distance 1 at the rim of the mark) to opacity and colour."""

_LIGHT_SKIN = np.array([232.0, 192.0, 170.0])
_DARK_SKIN = np.array([176.0, 128.0, 100.0])
_MARK_RADIUS = (0.12, 0.14)
_LESION_RADIUS = (0.24, 0.36)


class Drawing(NamedTuple):
    """An image with the masks of its marks.

    Attributes:
        image: RGB, (size, size, 3).
        sign: 255 on the sign and else 0, (size, size).
        decoy: 255 on the decoy and else 0, (size, size).
    """

    image: NDArray[np.uint8]
    sign: NDArray[np.uint8]
    decoy: NDArray[np.uint8]


def draw(rng: np.random.Generator, size: int, sign: str | None, tone: float) -> Drawing:
    """Return the image of a case with its masks.

    Args:
        rng: Generator of all random draws.
        size: Side of the square image, in pixels.
        sign: One of `SIGNS`; None for a lesion that shows none.
        tone: Skin from light (0) to dark (1).
    """
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    # Uniform over the image, so that a map of its centre seldom finds the sign.
    place, elsewhere = _apart(rng)
    lesion_radius = rng.uniform(*_LESION_RADIUS)
    # The lesion lies at the sign or at the decoy, its centre beside the mark, so that a map of the
    # lesion finds neither reliably.
    marked = (place, elsewhere)[rng.integers(2)]
    angle, distance = rng.uniform(0, 2 * np.pi), lesion_radius * rng.uniform(0.45, 0.9)
    offset = distance * np.array([np.cos(angle), np.sin(angle)])
    middle = np.clip(marked + offset, 0.3, 0.7)

    image = _skin(rng, x, y, tone)
    image = _lesion(rng, image, x - middle[0], y - middle[1], lesion_radius)
    image = _hairs(rng, image, x, y)
    image, decoy_mask = _mark(rng, image, x - elsewhere[0], y - elsewhere[1], _green_stripes)
    mask = np.zeros((size, size), np.uint8)
    if sign is not None:
        image, mask = _mark(rng, image, x - place[0], y - place[1], SIGNS[sign])
    image += rng.normal(0, 2.5, image.shape)
    return Drawing(np.clip(np.rint(image), 0, 255).astype(np.uint8), mask, decoy_mask)


def _apart(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the centres of two marks that do not touch, both of the same distribution."""
    edge = _MARK_RADIUS[1] + 0.02
    while True:
        one, other = rng.uniform(edge, 1 - edge, (2, 2))
        if np.hypot(*(one - other)) > 2 * _MARK_RADIUS[1]:
            return one, other


def _mark(
    rng: np.random.Generator, image: Array, dx: Array, dy: Array, pattern: Pattern
) -> tuple[Array, NDArray[np.uint8]]:
    """Return the image with a mark, and the mark's mask."""
    radius = rng.uniform(*_MARK_RADIUS)
    u, v = dx / radius, dy / radius
    depth = 1 - np.hypot(u, v) / _outline(rng, u, v, roughness=0.08)
    opacity, colour = pattern(rng, u, v)
    # The mark fades in over 12 % of its radius, inside the mask.
    opacity = (opacity * np.clip(depth / 0.12, 0, 1))[..., None]
    return image * (1 - opacity) + colour * opacity, np.where(depth > 0, 255, 0).astype(np.uint8)


def _skin(rng: np.random.Generator, x: Array, y: Array, tone: float) -> Array:
    size = len(x)
    base = _LIGHT_SKIN + tone * (_DARK_SKIN - _LIGHT_SKIN) + rng.normal(0, 4, 3)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.2) * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5))
    light += 0.02 * _noise(rng, size, 5) + 0.02 * _noise(rng, size, 24)
    redness = 4 * _noise(rng, size, 4)[..., None] * np.array([0.5, -1.0, -0.7])
    return np.asarray(base * light[..., None] + redness)


def _lesion(rng: np.random.Generator, image: Array, dx: Array, dy: Array, radius: float) -> Array:
    size = len(dx)
    squeeze = rng.uniform(0.75, 1)
    outline = _outline(rng, dx, dy, roughness=0.16)
    depth = 1 - np.hypot(dx, dy / squeeze) / (radius * outline) + 0.05 * _noise(rng, size, 9)
    opacity = np.clip(depth / rng.uniform(0.15, 0.4), 0, 1)[..., None]
    # Pigment absorbs part of the light of the skin below it, most of all blue.
    pigment = rng.uniform(0.6, 0.82) * np.array([1.0, rng.uniform(0.8, 0.95), 0.8])
    mottled = 1 + 0.06 * _noise(rng, size, 7) + 0.03 * _noise(rng, size, 20)
    return image * (1 - opacity) + image * pigment * mottled[..., None] * opacity


def _hairs(rng: np.random.Generator, image: Array, x: Array, y: Array) -> Array:
    for _ in range(rng.poisson(1.2)):
        angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.5)
        along = (x - rng.uniform(0.1, 0.9)) * np.cos(angle) + (y - 0.5) * np.sin(angle)
        across = (y - rng.uniform(0.1, 0.9)) * np.cos(angle) - (x - 0.5) * np.sin(angle)
        line = np.abs(across - bend * along**2) / 0.006
        on = np.clip(1.5 - line, 0, 1) * (np.abs(along) < rng.uniform(0.15, 0.4))
        image = image * (1 - 0.55 * on[..., None])
    return image


def _blue_ring(rng: np.random.Generator, u: Array, v: Array) -> tuple[Array, Array]:
    away = np.abs(np.hypot(u, v) - rng.uniform(0.6, 0.68)) / 0.3
    return 0.5 + 0.45 * np.clip(1.6 - 1.6 * away, 0, 1), np.array([58.0, 88.0, 182.0])


def _dark_dots(rng: np.random.Generator, u: Array, v: Array) -> tuple[Array, Array]:
    near = np.full_like(u, np.inf)
    # Sunflower spacing with jitter, so that the dots cover the sign and overlap little.
    turn = rng.uniform(0, 2 * np.pi)
    for number in range(13):
        reach = 0.82 * np.sqrt((number + 0.5) / 13)
        angle = turn + number * np.pi * (3 - np.sqrt(5))
        du = u - reach * np.cos(angle) - rng.normal(0, 0.03)
        dv = v - reach * np.sin(angle) - rng.normal(0, 0.03)
        near = np.minimum(near, np.sqrt(du * du + dv * dv) / rng.uniform(0.14, 0.2))
    return 0.5 + 0.47 * np.clip(3 - 2.5 * near, 0, 1), np.array([26.0, 16.0, 20.0])


def _green_stripes(rng: np.random.Generator, u: Array, v: Array) -> tuple[Array, Array]:
    turn = rng.uniform(0, np.pi)
    wave = np.cos(9 * (u * np.cos(turn) + v * np.sin(turn)) + rng.uniform(0, 2 * np.pi))
    return 0.5 + 0.45 * np.clip(0.7 + 1.5 * wave, 0, 1), np.array([26.0, 92.0, 52.0])


SIGNS: dict[str, Pattern] = {"blue_ring": _blue_ring, "dark_dots": _dark_dots}


def _outline(rng: np.random.Generator, dx: Array, dy: Array, *, roughness: float) -> Array:
    """Return the relative radius, at most 1, of an irregular outline in each pixel's direction."""
    angle = np.arctan2(dy, dx)
    waves = sum(
        rng.uniform(0, roughness) * (1 + np.cos(order * angle + rng.uniform(0, 2 * np.pi))) / 2
        for order in (1, 2, 3, 5)
    )
    return np.asarray(1 - waves)


def _noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Return smooth noise of about unit variance, with ``cells`` waves across, (size, size)."""
    grid = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
