"""Speed as ratios of two things measured in one run; `make bench` prints them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitatt.data.dataset import PixelSource
from vitatt.data.image_cache import ImageCache
from vitatt.explain.methods import explain
from vitatt.models.fusion import AttentionFusion
from vitatt.models.image_encoder import ImageEncoder
from vitatt.types import FeatureEncoding, LesionBatch, LesionTask, Split

pytestmark = pytest.mark.bench
REPETITIONS = 5


def ratio(work: Callable[[], object], unit: Callable[[], object]) -> float:
    """Median time of work over median time of unit, in alternating repetitions."""
    times: dict[str, list[float]] = {"work": [], "unit": []}
    for _ in range(REPETITIONS + 1):  # the first is a warm-up
        for name, run in (("work", work), ("unit", unit)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return statistics.median(times["work"][1:]) / statistics.median(times["unit"][1:])


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch14_dinov2"])
def test_tmme_over_a_plain_forward(name):
    features = tuple(
        FeatureEncoding(f"f{n}", f"f{n}", "categorical", categories=("a", "b")) for n in range(21)
    )
    task = LesionTask("synthetic", ("A", "B"), (1, 1), features, 0.1, 224, Split(0, 5, 0))
    network = AttentionFusion(ImageEncoder(name, image_size=224, frozen=True), task).eval()
    batch = LesionBatch(
        torch.randint(0, 256, (16, 3, 224, 224), dtype=torch.uint8),
        torch.rand(16, 42),
        torch.zeros(16, 21, dtype=torch.bool),
        torch.zeros(16, dtype=torch.long),
        [str(n) for n in range(16)],
    )
    target = torch.zeros(16, 1, dtype=torch.long)

    @torch.no_grad()
    def forward() -> object:
        return network(batch)

    cost = ratio(lambda: explain(network, batch, target), forward)
    print(f"\nTMME of 16 cases over a fused forward, {name}: {cost:.2f}")
    assert cost < 3.5


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
