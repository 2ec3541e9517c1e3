"""The Predictor beside bare PyTorch: its loading, and its time per prediction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.performance.conftest import Record
from tests.performance.timing import median_ratio, ratio
from vitatt.data.datasets import DATASETS
from vitatt.inference import Predictor
from vitatt.models.classifier import LesionClassifier
from vitatt.types import FeatureEncoding, FoldSpec, LesionBatch, LesionTask, Pixels

SPEC = DATASETS["pad_ufes_20"].spec
pytestmark = pytest.mark.bench
PROCESSES = 7
FEATURES = tuple(
    FeatureEncoding(one.name, one.label, one.kind, one.unit, centres=(10.0, 40.0, 70.0))
    if one.kind == "numeric"
    else FeatureEncoding(one.name, one.label, one.kind, categories=one.categories or ("BRAZIL",))
    for one in SPEC.features
)
TASK = LesionTask(
    SPEC.name,
    SPEC.classes,
    (1,) * 6,
    FEATURES,
    0.1,
    224,
    FoldSpec(0, 5, 0),
)
ANSWERS = {"age": 55, "itch": "yes", "region": "FACE", "grew": False, "gender": "FEMALE"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT-S/14 on a frozen encoder, as `vitatt fit` saves one."""
    model = LesionClassifier(TASK.to_plain(), freeze_encoder=True)
    saved = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(saved)
    path = tmp_path_factory.mktemp("inference") / "best.ckpt"
    torch.save(saved, path)
    return path


def seconds(code: str, checkpoint: Path) -> float:
    """CPU time of a fresh process until its code has run: others on the machine do not count."""
    code += "; import time; print(time.process_time())"
    words = [sys.executable, "-c", code, str(checkpoint)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def test_loading_over_imports_and_reading(checkpoint: Path, record: Record) -> None:
    bare = "import sys, timm, torch; torch.load(sys.argv[1], weights_only=True)"
    own = "import sys; from vitatt import Predictor; Predictor.load(sys.argv[1], device='cpu')"
    times = [(seconds(own, checkpoint), seconds(bare, checkpoint)) for _ in range(PROCESSES + 1)]
    over = median_ratio(*map(list, zip(*times, strict=True)))
    record("Predictor.load over importing torch and timm and reading the file", over, most=1.1)


@pytest.mark.parametrize(("kind", "size"), [("png", (224, 224)), ("jpg", (1600, 1200))])
def test_a_prediction_over_a_bare_forward(
    checkpoint: Path, tmp_path: Path, record: Record, kind: str, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image = tmp_path / f"lesion.{kind}"
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(image)
    predictor = Predictor.load(checkpoint)
    network = predictor.ensemble.models[0].network
    width = sum(TASK.cardinalities)
    batch = LesionBatch(
        Pixels(torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)),
        torch.rand(1, width),
        torch.zeros(1, len(FEATURES), dtype=torch.bool),
        torch.zeros(1, dtype=torch.long),
        ["case"],
    )
    device = predictor.ensemble.device
    batch = batch._replace(
        image=Pixels(batch.pixels.to(device)),
        metadata=batch.metadata.to(device),
        missing=batch.missing.to(device),
    )

    def forward() -> None:
        with torch.inference_mode():
            network(batch)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cost = ratio(lambda: predictor.predict(image, ANSWERS), forward, 30)
    finally:
        torch.set_num_threads(threads)
    shape = "x".join(map(str, size))
    record(f"A prediction from a {shape} {kind.upper()} over a bare forward", cost, most=1.15)
