"""The server under load: requests a second beside a bare loop, latency and memory."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from tests.performance.conftest import Record
from tests.performance.memory import LINUX
from vitatt.inference import Predictor
from vitatt.models.classifier import LesionClassifier
from vitatt.types import FeatureEncoding, FoldSpec, LesionTask

pytestmark = pytest.mark.bench
CLIENTS = 100
BATCH = 16
FEATURES = tuple(
    FeatureEncoding(name, name, "categorical", categories=("False", "True"))
    for name in ("smoke", "drink", "pesticide", "itch", "grew", "hurt", "changed", "bleed")
)
CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
TASK = LesionTask("pad_ufes_20", CLASSES, (1,) * 6, FEATURES, 0.1, 224, FoldSpec(0, 5, 0))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = LesionClassifier(TASK.to_plain(), encoder="vit_small_patch14_dinov2")
    saved = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(saved)
    path = tmp_path_factory.mktemp("served") / "best.ckpt"
    torch.save(saved, path)
    return path


@pytest.fixture(scope="module")
def photo() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize((600, 600)).save(content, "JPEG")
    return content.getvalue()


def memory(process: int) -> float:
    """Resident memory of a process, in GB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


@pytest.mark.skipif(not LINUX, reason="memory of a process, on Linux")
def test_a_hundred_clients(checkpoint: Path, photo: bytes, record: Record) -> None:
    """Bare forward passes of 16 cases run before and after, in this process."""
    command = [sys.executable, "-m", "vitatt", "serve", f"--ckpt_path={checkpoint}", "--port=0"]
    predictor = Predictor.load(checkpoint, device="cpu")
    encoded = predictor.reader.encode([predictor.reader.read({"itch": "yes"})])
    (one,) = predictor.batches([photo], encoded, slice(1))
    batch = one.cases([0] * BATCH)
    network = predictor.ensemble.models[0].network

    def bare() -> float:
        with torch.inference_mode():
            network(batch)
            start = time.perf_counter()
            for _ in range(12):
                network(batch)
        return 12 * BATCH / (time.perf_counter() - start)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" at ")[1].split()[0]
            with httpx.Client(base_url=address, timeout=120, limits=httpx.Limits()) as client:
                ask = functools.partial(_ask, client, photo)
                list(map(ask, range(20)))
                rates, seconds, bares = [], [], [bare()]
                with ThreadPoolExecutor(CLIENTS) as pool:
                    before = 0.0
                    for part in range(5):
                        start = time.perf_counter()
                        seconds += list(pool.map(ask, range(1000)))
                        rates.append(1000 / (time.perf_counter() - start))
                        bares.append(bare())
                        if part == 0:
                            before = memory(server.pid)
                after = memory(server.pid)
                case = client.post("/v1/cases", files={"image": photo}).json()["case"]
                what_if = sorted(_what_if(client, case, n) for n in range(30))
        finally:
            server.kill()
    share = float(np.median(rates) / np.median(bares))
    name = f"ViT-S/14, {CLIENTS} clients"
    record(f"Requests a second over bare forward passes of {BATCH}, {name}", share, least=0.9)
    record(f"95th percentile of a request, {name}", float(np.quantile(seconds, 0.95)), unit="s")
    record(f"Memory after 5,000 requests over after 1,000, {name}", after / before, most=1.05)
    record("What-if of a case in hand, median, ViT-S/14", what_if[15], unit="s", most=0.3)


def _ask(client: httpx.Client, photo: bytes, number: int) -> float:
    start = time.perf_counter()
    answers = f'{{"itch": "{"yes" if number % 2 else "no"}"}}'
    response = client.post("/v1/predict", files={"image": photo}, data={"answers": answers})
    assert response.status_code == 200, response.text
    return time.perf_counter() - start


def _what_if(client: httpx.Client, case: str, number: int) -> float:
    answers = {"itch": bool(number % 2), "bleed": True, "grew": False, "smoke": True}
    start = time.perf_counter()
    response = client.post(f"/v1/cases/{case}/what_if", json={"answers": answers})
    assert response.status_code == 200, response.text
    return time.perf_counter() - start
