"""Cases that are made up, to compare an exported network with the original."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.metadata.encoding import Value, encode_rows
from vitatt.inference.arrays import CaseArrays
from vitatt.types import FeatureEncoding, LesionTask

_GRID = 6
_MISSING = 0.3


def made_cases(task: LesionTask, count: int, *, seed: int = 0) -> CaseArrays:
    """Return cases of smooth and of noisy images, with some features and views missing.

    The first case lacks no feature and no view, the second all features.

    Args:
        task: Of the network.
        count: Number of cases.
        seed: Of all random draws.
    """
    random = np.random.default_rng(seed)
    rows = made_rows(task, count, seed=seed)
    metadata = encode_rows(rows, task.features, smoothing=task.smoothing)
    pixels = [
        np.concatenate([_image(task.image_size, random, number) for _ in range(task.num_views)])
        for number in range(count)
    ]
    absent = None
    if task.views:
        absent = random.random((count, task.num_views)) < _MISSING
        absent[:1] = False
        absent[absent.all(axis=1), 0] = False
    return CaseArrays(
        np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)),
        metadata.soft_one_hot,
        metadata.missing,
        absent,
        [f"made {number}" for number in range(count)],
    )


def made_rows(task: LesionTask, count: int, *, seed: int = 0) -> list[dict[str, Value]]:
    """Return values of the features of the cases of `made_cases`; None where missing."""
    random = np.random.default_rng([seed, 1])
    return [
        {feature.name: _value(feature, random, number) for feature in task.features}
        for number in range(count)
    ]


def in_batches(cases: CaseArrays, sizes: Sequence[int]) -> list[CaseArrays]:
    """Return the cases in batches of these sizes, the last one repeated for the rest."""
    parts, start, number = [], 0, 0
    while start < len(cases.pixels):
        rows = slice(start, start + sizes[min(number, len(sizes) - 1)])
        absent = None if cases.absent is None else cases.absent[rows]
        part = CaseArrays(
            cases.pixels[rows],
            cases.metadata[rows],
            cases.missing[rows],
            absent,
            cases.names[rows],
        )
        parts.append(part)
        start, number = start + len(part.pixels), number + 1
    return parts


def _value(feature: FeatureEncoding, random: np.random.Generator, number: int) -> Value:
    missing = random.random() < _MISSING
    if number == 1 or (missing and number):
        return None
    if feature.kind == "categorical":
        return str(random.choice(list(feature.categories)))
    value = random.uniform(min(feature.centres), max(feature.centres))
    return round(float(value), 1)


def _image(size: int, random: np.random.Generator, number: int) -> NDArray[np.uint8]:
    """Colours that change slowly, as in photographs; for every third case, noise."""
    side = size if number % 3 == 2 else _GRID
    noise = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, np.uint8)
