"""Integrated gradients against Captum called directly, Gauss-Legendre by hand, and their axiom."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task, relative_error
from vitatt.explain.methods import explain
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, Pixels

pytestmark = pytest.mark.long

# `vitatt.explain.methods.integrated_gradients` is the function of the same name.
module = importlib.import_module("vitatt.explain.methods.integrated_gradients")

TASK = make_task(image_size=48)
SIDE, GRID = 16, 3

NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {},
    "join3": {"join_at": 3},
    "joint-token": {"granularity": "joint", "missing": "token"},
    "image-only": {"fusion": ImageOnly},
}


class Case:
    """One case as a function of pixels and metadata, with the two ends of the path."""

    def __init__(self, network: LesionNetwork, batch: LesionBatch, case: int) -> None:
        self.network, self.batch = network, batch.cases([case])
        self.pixels = self.batch.pixels.double()
        mean = network.encoder.mean.double()[0, :, 0, 0]
        self.blank = torch.stack([torch.full_like(self.pixels[:, 0], m) for m in mean], dim=1)
        self.metadata = self.batch.metadata.double()
        self.nothing = torch.cat(
            [torch.full((1, k), 1.0 / k, dtype=torch.float64) for k in CARDINALITIES], dim=1
        )

    def logits(self, pixels: Tensor, metadata: Tensor) -> Tensor:
        count = len(pixels)
        return self.network(
            LesionBatch(
                Pixels(pixels),
                metadata,
                self.batch.missing.expand(count, -1),
                self.batch.target.expand(count),
                list(self.batch.case_id) * count,
            )
        ).logits

    def by_captum(self, target: int, steps: int) -> tuple[Tensor, Tensor]:
        if not self.network.cardinalities:
            (of_pixels,) = IntegratedGradients(lambda x: self.logits(x, self.metadata)).attribute(
                (self.pixels,), baselines=(self.blank,), target=target, n_steps=steps
            )
            return of_pixels[0], torch.zeros(0, dtype=torch.float64)
        of_pixels, of_metadata = IntegratedGradients(self.logits).attribute(
            (self.pixels, self.metadata),
            baselines=(self.blank, self.nothing),
            target=target,
            n_steps=steps,
            method="gausslegendre",
        )
        return of_pixels[0], of_metadata[0]

    def by_hand(self, target: int, steps: int) -> tuple[Tensor, Tensor]:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        sums = [torch.zeros_like(self.pixels), torch.zeros_like(self.metadata)]
        for node, weight in zip(nodes, weights, strict=True):
            at = float(1 + node) / 2
            pixels = (self.blank + at * (self.pixels - self.blank)).requires_grad_()
            metadata = (self.nothing + at * (self.metadata - self.nothing)).requires_grad_()
            logit = self.logits(pixels, metadata)[0, target]
            for total, gradient in zip(
                sums, torch.autograd.grad(logit, (pixels, metadata)), strict=True
            ):
                total += float(weight) / 2 * gradient
        return (
            ((self.pixels - self.blank) * sums[0])[0],
            ((self.metadata - self.nothing) * sums[1])[0],
        )


def summed(of_pixels: Tensor, of_metadata: Tensor) -> tuple[Tensor, Tensor]:
    """Of each patch and each feature, signed."""
    patches = torch.zeros(GRID, GRID, dtype=torch.float64)
    for y in range(GRID * SIDE):
        for x in range(GRID * SIDE):
            patches[y // SIDE, x // SIDE] += of_pixels[:, y, x].sum()
    features, start = [], 0
    for cardinality in CARDINALITIES if len(of_metadata) else ():
        features.append(of_metadata[start : start + cardinality].sum())
        start += cardinality
    return patches, torch.stack(features) if features else of_metadata


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_agrees_with_captum_on_each_case_alone(arguments: dict[str, Any]) -> None:
    size = 8
    batch = make_batch(TASK, size, dtype=torch.float64)
    network = make_network(TASK, **arguments).double()
    target = torch.stack([torch.arange(size) % 4, (torch.arange(size) + 1) % 4], dim=1)
    actual = explain(network, batch, target, method="integrated_gradients")
    count = len(network.cardinalities)
    assert actual.patches.shape == (size, 2, GRID, GRID)
    assert actual.features.shape == (size, 2, count)
    for number in (0, 1, 6):
        case = Case(network, batch, number)
        for k in range(2):
            patches, features = summed(*case.by_captum(int(target[number, k]), 20))
            assert (patches < 0).any()
            features = features.clone()
            features[batch.missing[number][:count]] = 0
            torch.testing.assert_close(
                actual.patches[number, k], patches.clamp(min=0), rtol=1e-9, atol=1e-10
            )
            torch.testing.assert_close(
                actual.features[number, k], features.clamp(min=0), rtol=1e-9, atol=1e-10
            )
        with torch.no_grad():
            expected = network(case.batch).logits[0]
        torch.testing.assert_close(actual.logits[number], expected, rtol=1e-10, atol=1e-10)
    assert count == 0 or (actual.features > 1e-4).any()


def test_agrees_with_gauss_and_legendre_by_hand() -> None:
    batch = make_batch(TASK, 3, dtype=torch.float64)
    network = make_network(TASK).double()
    target = torch.tensor([[3], [0], [1]])
    actual = explain(network, batch, target, method="integrated_gradients")
    for number in range(3):
        parts = Case(network, batch, number).by_hand(int(target[number, 0]), module.STEPS)
        patches, features = summed(*parts)
        for one, other in (
            (actual.patches[number, 0], patches),
            (actual.features[number, 0], features),
        ):
            # Captum rounds its steps' weights to float32.
            torch.testing.assert_close(one, other.clamp(min=0), rtol=1e-6, atol=1e-7)


def test_attributions_add_up_to_what_the_logit_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two classes, centred logits mirror each other: what one gains the other loses."""
    task = make_task(classes=("ACK", "BCC"), image_size=48)
    batch = make_batch(task, 4, dtype=torch.float64)
    network = make_network(task).double()
    target = torch.tensor([[0, 1]] * 4)
    gains = []
    for number in range(4):
        case = Case(network, batch, number)
        with torch.no_grad():
            here, there = (
                case.logits(*ends)[0, 0]
                for ends in ((case.pixels, case.metadata), (case.blank, case.nothing))
            )
        gains.append(here - there)
    gain = torch.stack(gains)
    assert gain.abs().min() > 1e-2
    errors = []
    for steps in (2, 100):
        monkeypatch.setattr(module, "STEPS", steps)
        found = explain(network, batch, target, method="integrated_gradients")
        assert found.cost.forwards == 1 + 2 * steps
        signed_patches = found.patches[:, 0] - found.patches[:, 1]
        signed_features = found.features[:, 0] - found.features[:, 1]
        total = signed_patches.sum((1, 2)) + signed_features.sum(1)
        errors.append((total - gain).abs().max().item())
    assert errors[1] < 2e-5 * gain.abs().max().item()
    assert errors[1] < 1e-3 * errors[0]


@pytest.mark.parametrize("missing", ["mask", "token", "uniform"])
def test_missing_features_have_none(missing: str) -> None:
    batch = make_batch(TASK, 8)
    network = make_network(TASK, missing=missing)
    target = torch.tensor([[0, 1, 2]] * 8)
    features = explain(network, batch, target, method="integrated_gradients").features.amax(1)
    assert (features[batch.missing] == 0).all()
    assert (features[~batch.missing] > 0).float().mean() > 0.8


def test_image_only_has_no_feature() -> None:
    batch = make_batch(TASK, 2)
    network = make_network(TASK, fusion=ImageOnly)
    found = explain(network, batch, torch.tensor([[0, 1]] * 2), method="integrated_gradients")
    assert found.features.shape == (2, 2, 0)
    torch.testing.assert_close(found.image_share, torch.ones(2, 2))
    other = batch._replace(metadata=batch.metadata.flip(0), missing=~batch.missing)
    again = explain(network, other, torch.tensor([[0, 1]] * 2), method="integrated_gradients")
    torch.testing.assert_close(again.patches, found.patches, rtol=0, atol=0)


def test_single_precision_is_close_to_double() -> None:
    batch = make_batch(TASK, 8)
    target = torch.tensor([[0, 3]] * 8)
    single = explain(make_network(TASK), batch, target, method="integrated_gradients")
    double = explain(
        make_network(TASK).double(),
        batch._replace(metadata=batch.metadata.double()),
        target,
        method="integrated_gradients",
    )
    assert single.patches.dtype == torch.float32
    both = torch.cat([double.patches.flatten(2), double.features], dim=2)
    assert (
        relative_error(torch.cat([single.patches.flatten(2), single.features], dim=2), both) < 1e-4
    )


def test_nothing_to_tell_from_the_baseline() -> None:
    """A case that is the baseline itself: no path, no relevance."""
    task = make_task((2, 4), image_size=48)
    batch = make_batch(task, 2, dtype=torch.float64)
    network = make_network(task).double()
    blank = network.encoder.mean.expand(2, 3, 48, 48).clone()
    metadata = torch.tensor([[0.5] * 2 + [0.25] * 4] * 2, dtype=torch.float64)
    case = batch._replace(
        image=Pixels(blank), metadata=metadata, missing=torch.zeros_like(batch.missing)
    )
    found = explain(network, case, torch.tensor([[0], [1]]), method="integrated_gradients")
    assert found.patches.abs().max() == 0
    assert found.features.abs().max() == 0
    other = case.with_pixels(blank + 30)
    found = explain(network, other, torch.tensor([[0], [1]]), method="integrated_gradients")
    assert found.patches.amax() > 1e-3
    assert found.features.abs().max() == 0
