"""The server of a reader study under load: 50 readers at once, without a pause for thought."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.performance.conftest import Record
from tests.reader_study import made_study
from tests.reader_study.serving.conftest import make_study
from tests.reader_study.serving.crowd import read_together
from tests.reader_study.serving.people import served, write_tokens
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.study_folder import read_manifest

pytestmark = pytest.mark.bench
READERS = 50
CASES = 10


def smooth(seed: int, channels: int = 3, side: int = 640) -> bytes:
    """A PNG of the size of a photograph of skin: smooth, with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 12, channels), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    noise = rng.integers(-4, 5, pixels.shape)
    stream = io.BytesIO()
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(stream, "PNG")
    return stream.getvalue()


def test_fifty_readers(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_study, "png", smooth)

    def without_practice(plan: dict[str, Any]) -> None:
        plan["training_cases"] = []

    make_study(tmp_path, without_practice, cases=CASES, readers=READERS)
    write_tokens(tmp_path, READERS)
    size = np.mean([path.stat().st_size for path in (tmp_path / "images").iterdir()])
    with served(tmp_path) as server:
        crowd = read_together(server.address, READERS, CASES)
        server.kill()
    manifest, digest = read_manifest(tmp_path)
    table = make_readings(manifest, read_log(tmp_path, digest).events)
    lost = READERS * CASES - table.height
    name = f"study, {READERS} readers"
    record(f"Readings lost after kill -9, {name}", lost, unit="", most=0)
    for kind, seconds in crowd.seconds.items():
        high = float(np.quantile(seconds, 0.95))
        record(f"95th percentile of a request ({kind}), {name}", high, unit="s", most=0.5)
    record(f"Mean size of an image, {name}", size / 1e6, unit="MB")
