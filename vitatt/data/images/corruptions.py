"""Corruptions of images at five strengths, as by a worse camera or hair on the skin.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019: Gaussian blur and JPEG have the strengths of their published code; the
others are designed for skin. Each depends on image, strength and seed alone, and a higher strength
makes the same changes larger.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]


def corrupt(image: Pixels, corruption: str, strength: int, *, seed: int) -> Pixels:
    """Return the corrupted image.

    Args:
        image: RGB, (H, W, 3).
        corruption: One of `CORRUPTIONS`.
        strength: From 1 to 5.
        seed: Seed of what is random: the sign of brightness, the direction of colour, the hairs.

    Raises:
        ValueError: If the image is not uint8 RGB, or the strength is out of its range.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            "Expected argument `image` to be uint8 of shape (H, W, 3), but got "
            f"{image.dtype} {image.shape}."
        )
    if not 1 <= strength <= 5:
        raise ValueError(f"Expected argument `strength` to be 1 to 5, but got {strength}.")
    return CORRUPTIONS[corruption](image, strength - 1, np.random.default_rng(seed))


def blur(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """Gaussian blur with a standard deviation of 1 to 6 pixels per 224 pixels of the side."""
    del rng
    radius = (1, 2, 3, 4, 6)[place] * image.shape[0] / 224
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def jpeg(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """JPEG compression at a quality of 25 to 7."""
    del rng
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[place])
    return np.asarray(Image.open(file))


def brightness(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """Brighter or darker, at random, by 0.2 to 1 stops: at most twice or half as bright."""
    stops = rng.choice([-1, 1]) * (0.2, 0.4, 0.6, 0.8, 1.0)[place]
    return _pixels(image * 2.0**stops)


def colour(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """Wrong white balance: gains of the channels change by up to 5 to 40 %, at random."""
    direction = rng.normal(size=3)
    direction -= direction.mean()
    direction /= np.abs(direction).max()
    return _pixels(image * (1 + (0.05, 0.1, 0.2, 0.3, 0.4)[place] * direction))


def hair(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """Hair: 3 to 40 dark bent lines, each a Bezier curve of second degree."""
    height, width = image.shape[:2]
    scale = 2  # hairs are drawn larger and scaled down, for soft edges
    mask = Image.new("L", (width * scale, height * scale))
    pen = ImageDraw.Draw(mask)
    along = np.linspace(0, 1, 24)[:, None]
    for _ in range((3, 8, 15, 25, 40)[place]):
        start, angle, length = rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        bend = (start + end) / 2 + rng.normal(0, 0.12, 2)
        curve = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        points = [tuple(point) for point in curve * [width * scale, height * scale]]
        pen.line(points, fill=225, width=max(1, round(scale * width / 112)))
    opacity = np.asarray(mask.resize((width, height), Image.Resampling.BOX))[..., None] / 255
    return _pixels(image * (1 - opacity) + np.array([38, 26, 20]) * opacity)


def downscale(image: Pixels, place: int, rng: np.random.Generator) -> Pixels:
    """Lower resolution, of a half to an eighth of the pixels per side."""
    del rng
    height, width = image.shape[:2]
    factor = (2, 3, 4, 6, 8)[place]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    smaller = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(smaller.resize((width, height), Image.Resampling.BICUBIC))


CORRUPTIONS: dict[str, Callable[[Pixels, int, np.random.Generator], Pixels]] = {
    "blur": blur,
    "jpeg": jpeg,
    "brightness": brightness,
    "colour": colour,
    "hair": hair,
    "downscale": downscale,
}
"""Corruptions by name, called with an image, a strength from 0 to 4 and a random generator."""


def _pixels(values: NDArray[np.float64]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)
