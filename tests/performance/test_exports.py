"""ONNX Runtime beside PyTorch: start, one image and sixteen, in float and with 8-bit weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.performance.conftest import Record
from tests.performance.test_inference import ANSWERS, PROCESSES, checkpoint, seconds
from tests.performance.timing import median_ratio, ratio
from vitatt.export.exporting import export_checkpoint
from vitatt.inference import Predictor

__all__ = ["checkpoint"]
pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def folders(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The checkpoint as ONNX, in float and with 8-bit weights."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("float", "int8")}
    export_checkpoint(checkpoint, made["float"], "onnx")
    export_checkpoint(checkpoint, made["int8"], "onnx", quantization="dynamic")
    return made


def test_start(checkpoint: Path, folders: dict[str, Path], record: Record) -> None:
    code = "import sys; from vitatt import Predictor; Predictor.load(sys.argv[1], device='cpu')"
    times = [
        (seconds(code, folders["float"]), seconds(code, checkpoint)) for _ in range(PROCESSES + 1)
    ]
    over = median_ratio(*map(list, zip(*times, strict=True)))
    record("CPU time of Predictor.load of an ONNX folder over a checkpoint", over, most=0.5)


@pytest.mark.parametrize(("kind", "most"), [("float", 1.1), ("int8", 1.1)])
@pytest.mark.parametrize("count", [1, 16])
def test_predictions(
    checkpoint: Path,
    folders: dict[str, Path],
    tmp_path: Path,
    record: Record,
    count: int,
    kind: str,
    most: float,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "lesion.png")
    images, answers = [tmp_path / "lesion.png"] * count, [ANSWERS] * count
    exported, original = Predictor.load(folders[kind]), Predictor.load(checkpoint, device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        over = ratio(
            lambda: exported.predict_batch(images, answers),
            lambda: original.predict_batch(images, answers),
        )
    finally:
        torch.set_num_threads(threads)
    record(f"{count} predictions by ONNX Runtime ({kind}) over PyTorch", over, most=most)
