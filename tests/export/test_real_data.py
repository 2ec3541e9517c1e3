"""Exports on real images; skipped where these are not (see `VITATT_DATA`).

``pytest -m slow -s tests/export/test_real_data.py`` prints the differences.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.encoders.test_families import EVERY
from vitatt.commands.export import export
from vitatt.data.datamodule import LesionDataModule
from vitatt.export.graph import PlainGraph
from vitatt.export.onnx_file import save_onnx
from vitatt.export.parity import TOLERANCE, compare
from vitatt.export.program import traced
from vitatt.export.real_cases import real_cases
from vitatt.inference import Predictor
from vitatt.inference.arrays import CaseArrays
from vitatt.inference.onnx_models import run_file
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion import FUSIONS

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / os.environ.get("VITATT_DATA", "../shared/data")
ENCODERS = {
    "vit_small_patch14_dinov2": (112, "dinov2_vits14_fp16.safetensors"),
    "tf_efficientnet_lite0": (96, "efficientnet_lite0_fp16.safetensors"),
}
"""Image size and file of the weights of an encoder of each kind."""


def real(name: str) -> Path:
    if not (FOLDER / name).exists():
        pytest.skip(f"{FOLDER / name} is not there: set VITATT_DATA to a folder that holds {name}")
    return FOLDER / name


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    cache_dir = str(tmp_path_factory.mktemp("cache"))

    @cache
    def make(dataset: str, size: int) -> LesionDataModule:
        root = str(real(dataset))
        return LesionDataModule(dataset, root=root, image_size=size, cache_dir=cache_dir)

    return make


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("dataset", ["pad_ufes_20", "isic_2019"])
def test_every_arm(dataset: str, encoder: str, data, tmp_path: Path) -> None:
    size, weights = ENCODERS[encoder]
    weights_file = str(real(f"weights/{weights}"))
    module = data(dataset, size)
    batches = [part.cases for part in real_cases(module, "test", most=100)]
    for arm in FUSIONS:
        made = make_encoder(encoder, image_size=size, weights=weights_file)
        difference = largest_difference(arm, made, module, batches, tmp_path / "model.onnx")
        print(f"{dataset} {encoder} {arm}: {difference:.1e} on 100 images")
        assert difference < TOLERANCE


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("dataset", ["pad_ufes_20", "isic_2019"])
def test_every_family_of_encoders(dataset: str, data, tmp_path: Path) -> None:
    """Small ones, whose weights are random: no others are in the folder."""
    module = data(dataset, 64)
    batches = [part.cases for part in real_cases(module, "test", most=100)]
    for encoder in EVERY:
        torch.manual_seed(0)
        made = make_encoder(encoder, image_size=64)
        difference = largest_difference("vitatt", made, module, batches, tmp_path / "model.onnx")
        print(f"{dataset} {encoder} vitatt: {difference:.1e} on 100 images")
        assert difference < TOLERANCE


def largest_difference(
    arm: str,
    encoder: ImageEncoder,
    module: LesionDataModule,
    batches: list[CaseArrays],
    path: Path,
) -> float:
    torch.manual_seed(0)
    network = FUSIONS[arm](encoder, module.task).eval().requires_grad_(False)
    graph = PlainGraph(network, module.task)
    save_onnx(traced(graph, module.task, arm), graph, path, arm)
    found = compare(graph, run_file(path), batches)
    assert found.cases == 100
    return found.largest


SCRIPT = """
import csv, json, sys
from pathlib import Path
for name in ("torch", "timm", "torchvision", "lightning"):
    sys.modules[name] = None  # importing it raises
from vitatt import Predictor
folder, root = map(Path, sys.argv[1:])
with (root / "metadata.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
places = {path.name: path for path in root.rglob("*.png")}
found = Predictor.load(folder).predict_batch([places[row["img_id"]] for row in rows], rows)
print(json.dumps([list(one.probabilities.values()) for one in found]))
"""


def test_a_table_without_torch(data, tmp_path: Path) -> None:
    """By a checkpoint that ``VITATT_CHECKPOINT`` names, or one whose fusion is not trained."""
    root = real("pad_ufes_20_test")
    if not (given := os.environ.get("VITATT_CHECKPOINT")):
        size, weights = ENCODERS["vit_small_patch14_dinov2"]
        task = data("pad_ufes_20", size).task
        torch.manual_seed(0)
        model = LesionClassifier(
            task.to_plain(), encoder_weights=str(real(f"weights/{weights}")), freeze_encoder=True
        )
        saved = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
        model.on_save_checkpoint(saved)
        torch.save(saved, tmp_path / "best.ckpt")
        given = str(tmp_path / "best.ckpt")
    assert export(ckpt_path=given, output=str(tmp_path / "onnx")) == 0
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "onnx"), str(root)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = np.array(json.loads(done.stdout))
    with (root / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    places = {path.name: path for path in root.rglob("*.png")}
    images = [places[row["img_id"]] for row in rows]
    expected = Predictor.load(given, device="cpu").predict_batch(images, rows)
    difference = np.abs(found - [list(one.probabilities.values()) for one in expected]).max()
    print(f"{len(rows)} rows without torch: {difference:.1e}")
    assert len(found) == len(rows) == 201
    assert difference < TOLERANCE
