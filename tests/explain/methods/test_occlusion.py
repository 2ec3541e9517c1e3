"""Occlusion against a loop over cases, classes, windows and features, in float64."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task, relative_error
from vitatt.explain.methods import explain
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.types import LesionBatch, LesionOutput, LesionTask

# `vitatt.explain.methods.occlusion` is the function of the same name.
module = importlib.import_module("vitatt.explain.methods.occlusion")

PATCH = 16


class PatchSum(LesionNetwork):
    """Adds up what patches say, each with its own weight: what hiding some costs is known."""

    def __init__(self, encoder: ImageEncoder, task: LesionTask) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = ()
        rows, columns = encoder.grid_size
        generator = torch.Generator().manual_seed(3)
        self.weight: Tensor
        self.register_buffer("weight", torch.rand(rows, columns, generator=generator) + 0.1)
        self.head = ClassHead(1, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        rows, columns = self.encoder.grid_size
        pixels = batch.pixels.double() - self.encoder.mean.double().round()
        of_patches = pixels.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).mean((1, 3, 5))
        total = (of_patches * self.weight).sum((1, 2)).unsqueeze(1)
        return LesionOutput(torch.cat([total, -total], dim=1), total)


def logits_of(network: LesionNetwork, batch: LesionBatch) -> Tensor:
    with torch.no_grad():
        return network(batch).logits[0]


def naive(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, windows: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """Patches (B, K, h, w) and features (B, K, F), hidden one after the other.

    Args:
        windows: First and last but one patch of each window along a side.
    """
    size, times = target.shape
    side = batch.pixels.shape[-1] // PATCH
    patches = torch.full((size, times, side, side), torch.nan, dtype=torch.float64)
    features = torch.zeros(size, times, len(network.cardinalities), dtype=torch.float64)
    mean = [round(float(value)) for value in network.encoder.mean.flatten()]
    for n in range(size):
        case = batch.cases([n])
        before = logits_of(network, case)
        for top, bottom in windows:
            for left, right in windows:
                image = case.pixels.clone()
                for channel in range(3):
                    image[
                        0, channel, top * PATCH : bottom * PATCH, left * PATCH : right * PATCH
                    ] = mean[channel]
                after = logits_of(network, case.with_pixels(image))
                for k in range(times):
                    drop = before[target[n, k]] - after[target[n, k]]
                    patches[n, k, top:bottom, left:right] = max(0.0, drop.item())
        start = 0
        for number, cardinality in enumerate(network.cardinalities):
            metadata, missing = case.metadata.clone(), case.missing.clone()
            metadata[0, start : start + cardinality] = 1 / cardinality
            missing[0, number] = True
            start += cardinality
            after = logits_of(network, case._replace(metadata=metadata, missing=missing))
            for k in range(times):
                drop = before[target[n, k]] - after[target[n, k]]
                features[n, k, number] = max(0.0, drop.item())
    return patches, features


NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {},
    "join3": {"join_at": 3},
    "joint-token": {"granularity": "joint", "missing": "token"},
    "uniform": {"missing": "uniform"},
    "image-only": {"fusion": ImageOnly},
}


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.long
def test_agrees_with_a_loop(arguments: dict[str, Any]) -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, 3, dtype=torch.float64)
    network = make_network(task, **arguments).double()
    target = torch.tensor([[0, 3], [1, 2], [2, 0]])
    actual = explain(network, batch, target, method="occlusion")
    patches, features = naive(network, batch, target, [(0, 1), (1, 2), (2, 3)])
    assert (patches > 1e-2).any()
    assert (patches == 0).any()
    assert "fusion" in arguments or (features > 1e-4).any()
    assert actual.features.shape == features.shape
    together = torch.cat([actual.patches.flatten(2), actual.features], dim=2)
    assert relative_error(together, torch.cat([patches.flatten(2), features], dim=2)) < 1e-9
    torch.testing.assert_close(actual.patches, patches, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(actual.features, features, rtol=1e-9, atol=1e-11)
    assert actual.cost.forwards == 1 + 9 + len(network.cardinalities)
    assert actual.cost.backwards == 0


@pytest.mark.long
def test_windows_of_a_fine_grid_in_a_transformer() -> None:
    task = make_task((2, 3), image_size=160)
    batch = make_batch(task, 2, dtype=torch.float64)
    network = make_network(task).double()
    target = torch.tensor([[0], [2]])
    windows = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    expected, _ = naive(network, batch, target, windows)
    actual = explain(network, batch, target, method="occlusion")
    torch.testing.assert_close(actual.patches, expected, rtol=1e-9, atol=1e-11)
    assert actual.cost.forwards == 1 + 25 + 2


@pytest.mark.parametrize(
    ("side", "windows"),
    [
        (1, [(0, 1)]),
        (8, [(n, n + 1) for n in range(8)]),
        (9, [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]),
        (16, [(2 * n, 2 * n + 2) for n in range(8)]),
        (17, [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15), (15, 17)]),
    ],
)
def test_geometry_of_windows(side: int, windows: list[tuple[int, int]]) -> None:
    task = make_task((), classes=("ACK", "BCC"), image_size=side * PATCH)
    network = make_network(task, fusion=PatchSum).double()
    batch = make_batch(task, 2, dtype=torch.float64)
    batch = batch.with_pixels(batch.pixels.clamp(min=140))  # brighter than the mean colour
    target = torch.tensor([[0, 1], [1, 0]])
    actual = explain(network, batch, target, method="occlusion")
    # Every window speaks for class 0, by the sum of its patches.
    pixels = batch.pixels.double() - network.encoder.mean.round()
    gain = torch.zeros(2, side, side, dtype=torch.float64)
    for y in range(side):
        for x in range(side):
            part = pixels[:, :, y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
            gain[:, y, x] = part.mean((1, 2, 3)) * network.weight[y, x].item()
    expected = torch.full_like(gain, torch.nan)
    for top, bottom in windows:
        for left, right in windows:
            total = gain[:, top:bottom, left:right].sum((1, 2))
            expected[:, top:bottom, left:right] = total[:, None, None]
    assert (expected > 0).all()
    for case in range(2):
        torch.testing.assert_close(actual.patches[case, case], expected[case])
        assert actual.patches[case, 1 - case].abs().max() == 0  # what speaks against counts not
    assert actual.cost.forwards == 1 + len(windows) ** 2
    assert len(windows) <= module.WINDOWS


@pytest.mark.parametrize("missing", ["mask", "token", "uniform"])
@pytest.mark.parametrize("granularity", ["feature", "joint"])
def test_unobserved_features_have_none(missing: str, granularity: str) -> None:
    task = make_task()
    batch = make_batch(task, 8)
    network = make_network(task, missing=missing, granularity=granularity)
    target = torch.tensor([[0, 1, 2, 3]] * 8)
    features = explain(network, batch, target, method="occlusion").features.amax(1)
    assert features.shape == (8, len(CARDINALITIES))
    assert (features[batch.missing] == 0).all()
    assert (features[~batch.missing] > 0).float().mean() > 0.9


def test_classes_at_once_are_each_alone() -> None:
    task = make_task()
    batch = make_batch(task, 4, dtype=torch.float64)
    network = make_network(task).double()
    target = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    both = explain(network, batch, target, method="occlusion")
    for k in range(2):
        alone = explain(network, batch, target[:, k : k + 1], method="occlusion")
        torch.testing.assert_close(both.patches[:, k], alone.patches[:, 0], rtol=0, atol=1e-12)
        torch.testing.assert_close(both.features[:, k], alone.features[:, 0], rtol=0, atol=1e-12)
    assert (both.patches[:, 0] - both.patches[:, 1]).abs().max() > 1e-2
