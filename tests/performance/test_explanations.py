"""What explanations cost, as multiples of a plain fused forward pass of the same cases."""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback

from tests.performance.conftest import Record
from tests.performance.memory import LINUX, peak_memory
from tests.performance.timing import median_ratio, ratio
from tests.performance.trainer import module_of, trainer_of
from vitatt.callbacks import explanations
from vitatt.callbacks.charts import ClassificationCharts
from vitatt.callbacks.explanations import ExplanationPanel
from vitatt.explain.methods import METHODS, explain
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import FeatureEncoding, FoldSpec, LesionBatch, LesionTask, Pixels, stack_views

pytestmark = pytest.mark.bench
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASES = 16
ENCODERS = ["vit_tiny_patch16_224", "vit_small_patch14_dinov2"]
DINOV3 = "vit_small_patch16_dinov3"
FEATURES = tuple(
    FeatureEncoding(f"f{n}", f"f{n}", "categorical", categories=("a", "b")) for n in range(21)
)
TASK = LesionTask("synthetic", tuple("ABCDEF"), (1,) * 6, FEATURES, 0.1, 224, FoldSpec(0, 5, 0))


def network_of(name: str, task: LesionTask = TASK) -> LesionNetwork:
    torch.manual_seed(0)
    encoder = make_encoder(name, image_size=224, frozen=True, views=task.num_views)
    return AttentionFusion(encoder, task).eval().to(DEVICE)


def cases(size: int = CASES) -> LesionBatch:
    return LesionBatch(
        Pixels(torch.randint(0, 256, (size, 3, 224, 224), dtype=torch.uint8, device=DEVICE)),
        torch.rand(size, 42, device=DEVICE),
        torch.zeros(size, 21, dtype=torch.bool, device=DEVICE),
        torch.zeros(size, dtype=torch.long, device=DEVICE),
        [str(n) for n in range(size)],
    )


def forward(network: LesionNetwork, batch: LesionBatch) -> None:
    with torch.no_grad():
        network(batch)


def one_class(size: int = CASES) -> torch.Tensor:
    return torch.zeros(size, 1, dtype=torch.long, device=DEVICE)


@pytest.mark.parametrize("name", [*ENCODERS, DINOV3])
def test_tmme_over_a_plain_forward(name: str, record: Record) -> None:
    network, batch = network_of(name), cases()
    # As in a validation run, whose batches come before: from then on the C library keeps freed
    # memory for the next pass, instead of handing it back to the system.
    forward(network, cases(64))
    cost = ratio(lambda: explain(network, batch, one_class()), lambda: forward(network, batch), 40)
    record(f"TMME of 16 cases over a fused forward, {name}", cost, most=2.6)


def test_a_rotary_encoder_over_timms_own_forward(record: Record) -> None:
    encoder, pixels = network_of(DINOV3).encoder, cases().image
    assert encoder is not None

    def ours() -> None:
        with torch.no_grad():
            encoder(pixels)

    def timms() -> None:
        with torch.no_grad():
            encoder.backbone.forward_features(encoder._normalised(pixels.values))

    for once in (ours, timms):
        once()
    cost = ratio(ours, timms)
    record(f"Forward of the encoder over timm's forward, {DINOV3}", cost, most=1.1)


@pytest.mark.parametrize("name", ENCODERS)
def test_two_views_of_a_case(name: str, record: Record) -> None:
    """Eight cases of two images, beside sixteen cases of one."""
    two = network_of(name, dataclasses.replace(TASK, views=("close-up", "dermoscopic")))
    one, single = network_of(name), cases(CASES)
    absent = torch.zeros(CASES // 2, 2, dtype=torch.bool, device=DEVICE)
    half = single.cases(slice(CASES // 2))
    batch = half._replace(image=Pixels(stack_views(single.pixels, 2), absent))
    forward(two, batch)
    forward(one, cases(64))
    cost = ratio(lambda: forward(two, batch), lambda: forward(one, single), 40)
    record(f"Forward of 8 cases of two views over 16 of one, {name}", cost, most=1.1)
    target = one_class(CASES // 2)
    cost = ratio(lambda: explain(two, batch, target), lambda: forward(two, batch), 40)
    record(f"TMME of 8 cases of two views over a fused forward, {name}", cost, most=2.6)


def test_six_classes_over_six_calls(record: Record) -> None:
    name = ENCODERS[0]
    network, batch = network_of(name), cases()
    every = torch.arange(6, device=DEVICE).expand(CASES, -1)

    def one_by_one() -> None:
        for classes in every.unbind(1):
            explain(network, batch, classes[:, None])

    gain = ratio(lambda: explain(network, batch, every), one_by_one)
    record(f"TMME of six classes at once over six calls, {name}", gain, most=0.8)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [16, 64] if DEVICE == "cuda" else [16])
def test_one_case_at_a_time_over_a_batch(name: str, size: int, record: Record) -> None:
    network, batch = network_of(name), cases(size)

    def one_by_one() -> None:
        for n in range(size):
            explain(network, batch.cases(slice(n, n + 1)), one_class(1))

    gain = ratio(one_by_one, lambda: explain(network, batch, one_class(size)))
    title = f"TMME of {size} cases one at a time over a batch, {name}"
    record(title, gain, least=8 if size == 64 else 0.9)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("occlusion", "random")])
def test_methods_over_a_plain_forward(method: str, record: Record) -> None:
    network, batch = network_of(ENCODERS[0]), cases(8)
    cost = ratio(
        lambda: explain(network, batch, one_class(8), method=method),
        lambda: forward(network, batch),
    )
    record(f"{method} of 8 cases over a fused forward, {ENCODERS[0]}", cost, most=100)


class Stopwatch(Callback):
    """Seconds of each validation run, and of each call of some functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._patch = monkeypatch
        self._start = 0.0

    def watch(self, owner: Any, function: str, name: str) -> None:
        original = getattr(owner, function)

        def timed(*arguments: Any, **more: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*arguments, **more)
            finally:
                self.seconds[name].append(time.perf_counter() - start)

        self._patch.setattr(owner, function, timed)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = time.perf_counter()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds["whole"].append(time.perf_counter() - self._start)

    def share(self, *names: str) -> float:
        """Of the run without panel and charts; the first run, which loads them, is a warm-up."""
        parts = [self.seconds[name] for name in ("panel", "charts")]
        rest = [
            whole - sum(more) for whole, *more in zip(self.seconds["whole"], *parts, strict=True)
        ]
        work = [sum(calls) for calls in zip(*(self.seconds[name] for name in names), strict=True)]
        return median_ratio(work, rest)


class WrongInPart(ExplanationPanel):
    """Takes a quarter of the cases for wrong, which are explained for two classes."""

    def on_validation_batch_end(self, *arguments: Any, **more: Any) -> None:
        trainer, module, outputs, batch, number = arguments[:5]
        predicted = batch.target + (torch.arange(len(batch.target)) % 4 == 0).to(DEVICE)
        classes = outputs["probabilities"].shape[1]
        outputs = {**outputs, "probabilities": F.one_hot(predicted % classes, classes)}
        super().on_validation_batch_end(trainer, module, outputs, batch, number)


@pytest.mark.parametrize("name", ENCODERS)
def test_panel_over_a_validation_run_of_1000_cases(
    name: str, tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, batches, epochs = module_of(tmp_path, cases=1000, batch_size=32), 4, 6
    model = LesionClassifier(data.task.to_plain(), encoder=name, freeze_encoder=True)
    watch = Stopwatch(monkeypatch)
    watch.watch(ExplanationPanel, "on_validation_epoch_end", "panel")
    watch.watch(ClassificationCharts, "on_validation_epoch_end", "charts")
    watch.watch(explanations, "explain_cases", "explaining")
    watch.watch(explanations, "draw_panel", "drawing")
    watch.watch(explanations, "log_images", "logging")
    limits = {"limit_train_batches": 4, "limit_val_batches": batches}  # drawn before the next run
    callbacks = [WrongInPart(CASES), ClassificationCharts(), watch]
    trainer_of(tmp_path, epochs, *callbacks, enable_progress_bar=False, **limits).fit(model, data)
    over = f"over a validation run of 1,000 cases, {name}"
    for names, title, most in (
        (("explaining",), f"Explaining a panel of {CASES} {over}", 5),
        (("panel", "charts", "logging"), f"Panel and charts, {over}", 5),
        (("drawing",), f"Drawing and saving the panel, beside the training, {over}", 5),
    ):
        share = watch.share(*names) * 32 * batches / 1000
        record(title, 100 * share, unit="%", most=most)
    folder = next((tmp_path / "runs").glob("vitatt/*"))
    record_size = next((tmp_path / "runs" / "wandb").glob("offline-run-*"))
    figures = sum(path.stat().st_size for path in folder.glob("maps/*/*/*.jpg"))
    linked = {path.stat().st_ino for path in folder.glob("maps/*/*/*.jpg")}
    more = sum(
        path.stat().st_size
        for path in record_size.rglob("*")
        if path.is_file() and path.stat().st_ino not in linked
    )
    record(f"Figures of a validation run, {name}", figures / epochs / 1e6, unit="MB", most=10)
    record(f"W&B's record beyond them, {name}", more / epochs / 1e6, unit="MB", most=1)


def _peak(name: str, size: int, explained: bool) -> float:
    """Peak memory of a process, in GB."""
    network, batch = network_of(name), cases(size)
    forward(network, batch)
    if explained:
        explain(network, batch, one_class(size))
    return peak_memory()


@pytest.mark.skipif(DEVICE == "cuda" or not LINUX, reason="memory of a process, on Linux")
def test_memory_beyond_a_plain_forward(record: Record) -> None:
    for size in (16, 64):
        peaks = []
        for explained in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peaks.append(pool.apply(_peak, (ENCODERS[1], size, explained)))
        title = f"Memory of TMME of {size} cases beyond a plain forward, {ENCODERS[1]}"
        record(title, max(0.0, float(np.diff(peaks)[0])), unit="GB", most=0.6)
