"""Rollout and last-layer attention against full matrices from an own forward pass, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.explain.reference_tmme import _forward, reference_tmme, rotation_table
from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.attention.recorded_forward import recorded_forward
from vitatt.explain.methods import explain
from vitatt.explain.methods.attention_maps import last_attention, rollout
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

pytestmark = pytest.mark.long

SIZE = 3
TASK = make_task(image_size=48)
ONE_CLASS = torch.zeros(SIZE, 1, dtype=torch.long)
REGISTERS, DISTILLED = "vitatt_test_registers", "deit_tiny_distilled_patch16_224"

NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {"depth": 1},
    "depth2": {"depth": 2},
    "join0": {"join_at": 0},
    "join3": {"join_at": 3},
    "join3-depth1": {"join_at": 3, "depth": 1},
    "join5": {"join_at": 5},
    "joint": {"granularity": "joint"},
    "token": {"missing": "token"},
    "registers": {"encoder": REGISTERS},
    "registers-depth2": {"encoder": REGISTERS, "depth": 2},
    "registers-join2": {"encoder": REGISTERS, "join_at": 2},
    "registers-join1-depth1": {"encoder": REGISTERS, "join_at": 1, "depth": 1},
    "distilled": {"encoder": DISTILLED},
    "image-only": {"fusion": ImageOnly},
    "registers-image-only": {"encoder": REGISTERS, "fusion": ImageOnly},
    "dinov3": {"encoder": "vitatt_test_dinov3"},
    "beit": {"encoder": "vitatt_test_beit", "depth": 2},
    "siglip": {"encoder": "vitatt_test_siglip"},
    "pool-registers": {"encoder": "vitatt_test_pool_registers", "depth": 2},
    "pool-registers-image-only": {"encoder": "vitatt_test_pool_registers", "fusion": ImageOnly},
    "mean": {"encoder": "vitatt_test_mean"},
}


def make(arguments: dict[str, Any]) -> tuple[LesionNetwork, LesionBatch]:
    network = make_network(TASK, **arguments).double()
    if getattr(network.encoder, "rotation", None) is not None:
        angles = rotation_table(network.encoder.vit, 3)  # timm's are rounded to float32
        network.encoder.rotation = torch.cat([angles.sin(), angles.cos()], dim=1)
    return network, make_batch(TASK, SIZE, dtype=torch.float64)


def full_rollout(network: LesionNetwork, batch: LesionBatch, case: int) -> tuple[Tensor, int, int]:
    """The whole N x N product, and how many of the last tokens are patches and metadata."""
    state = {key: value.double() for key, value in network.state_dict().items()}
    _, layers, patches, metadata = _forward(network, state, batch, case)
    total = network.encoder.num_prefix + patches + metadata
    product = torch.eye(total, dtype=torch.float64)
    for attention, tokens, queries in layers:
        mean = attention.detach().mean(0)
        # A token that the layer has not seen stays what it is: identity, not half of it.
        layer = torch.eye(total, dtype=torch.float64)
        for i, row in enumerate(queries):
            layer[row] = 0
            layer[row, tokens] = mean[i] / 2
            layer[row, row] += 0.5
        product = layer @ product
    return product, patches, metadata


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_rollout_is_the_product_of_full_matrices(arguments: dict[str, Any]) -> None:
    network, batch = make(arguments)
    target = torch.tensor([[0, 3]] * SIZE)
    actual = explain(network, batch, target, method="rollout")
    for case in range(SIZE):
        product, patches, metadata = full_rollout(network, batch, case)
        torch.testing.assert_close(product.sum(1), torch.ones(len(product)).double())
        row = product[0, len(product) - patches - metadata :]
        # Uneven attention, or the order of the layers would not show.
        assert row[:patches].amax() > 1.05 * row[:patches].amin()
        for k in range(2):
            torch.testing.assert_close(
                actual.patches[case, k].flatten(), row[:patches], rtol=1e-10, atol=1e-13
            )
            torch.testing.assert_close(
                actual.features[case, k], row[patches:], rtol=1e-10, atol=1e-13
            )


@pytest.mark.parametrize("name", ["depth2", "join3-depth1", "registers"])
def test_the_order_of_the_layers_matters(name: str) -> None:
    """The reversed product is another: the comparison above can tell them apart."""
    network, batch = make(NETWORKS[name])
    with recorded_forward(network, batch) as recorded:
        right = torch.cat(rollout(recorded, ONE_CLASS)[0].kinds, dim=1)
        layouts = [call.layout for call in recorded.calls]
        same = [n for n, layout in enumerate(layouts) if layout == layouts[0]]
        swapped = [recorded.calls[n] for n in [*same[::-1], *range(len(same), len(layouts))]]
        wrong = torch.cat(rollout(recorded._replace(calls=swapped), ONE_CLASS)[0].kinds, dim=1)
    assert (right - wrong).abs().max() > 1e-3


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_rollout_of_all_tokens_sums_to_one(arguments: dict[str, Any]) -> None:
    network, batch = make(arguments)
    with recorded_forward(network, batch) as recorded:
        (row,) = rollout(recorded, ONE_CLASS)
    assert row.prefix.shape[1] == network.encoder.num_prefix
    torch.testing.assert_close(
        torch.cat(row.kinds, dim=1).sum(1), torch.ones(SIZE).double(), rtol=1e-12, atol=0
    )
    assert (row.prefix > 0).all()
    assert (row.patches > 0).all()


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_last_attention_is_that_of_the_reference(arguments: dict[str, Any]) -> None:
    network, batch = make(arguments)
    expected = reference_tmme(network, batch).attention
    actual = explain(network, batch, torch.tensor([[1, 2]] * SIZE), method="attention")
    both = torch.cat([actual.patches.flatten(2), actual.features], dim=2)
    torch.testing.assert_close(both[:, 0], expected, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(both[:, 1], both[:, 0], rtol=0, atol=0)
    with recorded_forward(network, batch) as recorded:
        (row,) = last_attention(recorded, ONE_CLASS)
    torch.testing.assert_close(torch.cat(row.kinds, dim=1).sum(1), torch.ones(SIZE).double())


@pytest.mark.parametrize("arguments", [{}, {"join_at": 3}], ids=["depth1", "join3"])
def test_features_that_are_not_attended_to_have_none(arguments: dict[str, Any]) -> None:
    network, batch = make(arguments)
    for found in (
        explain(network, batch, torch.zeros(SIZE, 1, dtype=torch.long), method="attention"),
        explain(network, batch, torch.zeros(SIZE, 1, dtype=torch.long), method="rollout"),
    ):
        features = found.features[:, 0]
        assert (features[batch.missing] == 0).all()
        assert (features[~batch.missing] > 0).all()


@pytest.mark.parametrize("method", ["attention", "rollout"])
def test_neither_needs_a_graph(method: Any) -> None:
    network, batch = make({})
    found = explain(network, batch, torch.tensor([[0, 1]] * SIZE), method=method)
    assert found.cost.forwards == 1
    assert found.cost.backwards == 0
    assert not any(part.requires_grad for part in found[:3])
