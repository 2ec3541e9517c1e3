"""Speed of the data path, as ratios of two things measured in one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.timing import ratio
from vitatt.data.dataset import PixelSource
from vitatt.data.image_cache import ImageCache

pytestmark = pytest.mark.bench


def test_warm_cache_over_decoding(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number in range(32):
        small = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        path = Path(tmp_path / f"{number}.jpg")
        small.resize((1024, 1024)).save(path)
        paths.append(str(path))
    cache = ImageCache(paths, size=224, folder=tmp_path / "cache")
    source = PixelSource(cache, cache.rows(paths))
    rows = np.arange(len(paths))

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((224, 224)), np.float32)
            (pixels / 255 - 0.5) / 0.5

    gain = ratio(decode, lambda: source.fetch(rows, [0] * len(rows)))
    print(f"\nPIL decode, resize, normalise over a warm cache read, 1024 px JPEG: {gain:.0f}")
    assert gain > 20
