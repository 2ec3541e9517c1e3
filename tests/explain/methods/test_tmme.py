from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.explain.reference_tmme import reference_tmme, rotation_table
from tests.tasks import make_batch, make_network, make_task, relative_error
from vitatt.explain.attention.class_row import ClassRow, passed_on
from vitatt.explain.methods import explain
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import TokenLayout

SIZE = 8
REGISTERS, DISTILLED = "vitatt_test_registers", "deit_tiny_distilled_patch16_224"

NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {"depth": 1},
    "depth2": {"depth": 2},
    "depth3-four-heads": {"depth": 3, "num_heads": 4},
    "join0-depth0": {"join_at": 0},
    "join0-depth1": {"join_at": 0, "depth": 1},
    "join3-depth0": {"join_at": 3},
    "join3-depth1": {"join_at": 3, "depth": 1},
    "join5-depth0": {"join_at": 5},
    "join5-depth1": {"join_at": 5, "depth": 1},
    "joint": {"granularity": "joint"},
    "joint-join3": {"granularity": "joint", "join_at": 3, "missing": "token"},
    "token": {"missing": "token"},
    "uniform": {"missing": "uniform", "join_at": 2},
    "registers": {"encoder": REGISTERS},
    "registers-join0": {"encoder": REGISTERS, "join_at": 0, "depth": 1},
    "registers-join2": {"encoder": REGISTERS, "join_at": 2},
    "distilled": {"encoder": DISTILLED},
    "distilled-join6": {"encoder": DISTILLED, "join_at": 6, "depth": 1},
    "additive": {"additive": True},
    "additive-depth2": {"additive": True, "depth": 2, "num_heads": 8},
    "additive-joint": {"additive": True, "granularity": "joint", "missing": "token"},
    "additive-registers": {"additive": True, "encoder": REGISTERS},
    "image-only": {"fusion": ImageOnly},
    "dinov3": {"encoder": "vitatt_test_dinov3"},
    "dinov3-depth2": {"encoder": "vitatt_test_dinov3", "depth": 2, "additive": True},
    "dinov3-image-only": {"encoder": "vitatt_test_dinov3", "fusion": ImageOnly},
    "beit": {"encoder": "vitatt_test_beit"},
    "beit-shared": {"encoder": "vitatt_test_beit_shared", "depth": 2},
    "beit-image-only": {"encoder": "vitatt_test_beit", "fusion": ImageOnly},
    "panderm": {"encoder": "vitatt_test_panderm"},
    "siglip": {"encoder": "vitatt_test_siglip"},
    "siglip-depth2": {"encoder": "vitatt_test_siglip", "depth": 2, "additive": True},
    "siglip-image-only": {"encoder": "vitatt_test_siglip", "fusion": ImageOnly},
    "pool-registers": {"encoder": "vitatt_test_pool_registers"},
    "pool-registers-image-only": {"encoder": "vitatt_test_pool_registers", "fusion": ImageOnly},
    "mean": {"encoder": "vitatt_test_mean"},
}
IN_SECONDS = (
    *("depth1", "additive", "join3-depth1", "joint", "registers", "image-only"),
    *("dinov3", "beit", "siglip", "pool-registers-image-only", "mean"),
)
"""Networks of the fast run."""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(value, id=name, marks=[] if name in IN_SECONDS else [pytest.mark.long])
        for name, value in NETWORKS.items()
    ],
)
def test_tmme_agrees_with_a_naive_reference(arguments: dict[str, Any]) -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, SIZE)
    network = make_network(task, **arguments)
    expected = reference_tmme(network, batch)
    target = torch.arange(len(task.classes)).expand(SIZE, -1)
    # The comparison says something only if the attention is uneven and relevance not all zero.
    assert (expected.patches.amax(-1) > 1e-3).all()
    assert "fusion" in arguments or (expected.features[1].amax(-1) > 1e-6).any()

    single = explain(network, batch, target)
    assert single.patches.shape == (SIZE, len(task.classes), 3, 3)
    # Of all relevance of a case: what nearly cancels is exact in float64 only.
    both = torch.cat([single.patches.flatten(2), single.features], dim=2)
    assert relative_error(both, torch.cat([expected.patches, expected.features], dim=2)) < 1e-4

    double = batch._replace(metadata=batch.metadata.double())
    network.double()
    if getattr(network.encoder, "rotation", None) is not None:
        # timm computes it in float32; the reference does not.
        angles = rotation_table(network.encoder.vit, 3)
        exact = torch.cat([angles.sin(), angles.cos()], dim=1)
        torch.testing.assert_close(network.encoder.rotation, exact, rtol=1e-5, atol=1e-6)
        network.encoder.rotation = exact
    actual = explain(network, double, target)
    assert actual.patches.dtype == actual.features.dtype == torch.float64
    assert relative_error(actual.patches, expected.patches.unflatten(-1, (3, 3))) < 1e-10
    assert relative_error(actual.features, expected.features) < 1e-10
    torch.testing.assert_close(actual.logits, expected.logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "arguments", [{}, {"join_at": 3}, {"additive": True}], ids=["depth1", "join3", "additive"]
)
def test_a_missing_feature_has_no_relevance_when_masked(arguments: dict[str, Any]) -> None:
    task = make_task()
    batch = make_batch(task, SIZE)
    relevance = explain(make_network(task, **arguments), batch, batch.target.unsqueeze(1))
    features = relevance.features.squeeze(1)
    assert (features[batch.missing] == 0).all()
    assert features[~batch.missing].max() > 0
    assert relevance.image_share[0] == 1, "the case without any metadata"


def test_raw_attention_agrees_with_the_reference() -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, 3)
    network = make_network(task, depth=2).double()
    batch = batch._replace(metadata=batch.metadata.double())
    actual = explain(network, batch, torch.tensor([[0, 3]] * 3), method="attention")
    both = torch.cat([actual.patches.flatten(2), actual.features], dim=2)
    expected = reference_tmme(network, batch).attention.unsqueeze(1).expand_as(both)
    torch.testing.assert_close(both, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("class_only", [False, True])
def test_carried_row_is_the_row_of_the_full_product(class_only: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layouts = [TokenLayout(2, 3), TokenLayout(2, 3), TokenLayout(1, 3, 2), TokenLayout(1, 3, 2)]
    places = [[0, 1, 2, 3, 4]] * 2 + [[0, 2, 3, 4, 5, 6]] * 2
    layers = [
        torch.rand(4, n.length, n.length, generator=generator, dtype=torch.float64) for n in layouts
    ]
    full = torch.eye(7, dtype=torch.float64).repeat(4, 1, 1)
    for layer, place in zip(layers, places, strict=True):
        step = torch.zeros_like(full)
        step[:, torch.tensor(place).unsqueeze(1), place] = layer
        full = full + step @ full
    row = ClassRow.start(layers[-1], layouts)
    for number, layer in reversed(list(enumerate(layers))):
        last = number == len(layers) - 1
        read = layer[:, :1] if class_only and last else layer
        passed = passed_on(row.of(layouts[number]), read.unsqueeze(1))
        row = row.below(passed, layouts[number])
    torch.testing.assert_close(torch.cat(row.kinds, dim=1), full[:, 0], rtol=1e-12, atol=0)
