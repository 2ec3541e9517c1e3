"""Networks whose logits are read from no attention of a class token, and CNNs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task
from vitatt.explain.checks.sanity import randomisation
from vitatt.explain.methods import METHODS, explain, explain_by
from vitatt.models.fusion.bottleneck import BottleneckFusion
from vitatt.models.fusion.concatenation import Concatenation
from vitatt.models.fusion.cross_attention import CrossAttention
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metablock import MetaBlock
from vitatt.models.fusion.metanet import MetaNet
from vitatt.models.fusion.mutual_attention import MutualAttention
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import LesionBatch, UsageError

pytestmark = pytest.mark.long

TASK = make_task(image_size=64)
SIZE = 3
CNN = "test_efficientnet"
APPLY: list[Any] = ["grad_cam", "integrated_gradients", "occlusion", "random"]
READING: list[Any] = [method for method in METHODS if method not in APPLY]
ARMS: list[Any] = [
    Concatenation,
    MetaBlock,
    MetaNet,
    FiLM,
    CrossAttention,
    MutualAttention,
    BottleneckFusion,
]


@pytest.mark.parametrize("encoder", ["vitatt_test_registers", CNN])
@pytest.mark.parametrize("arm", ARMS)
def test_gradients_and_hiding_explain_every_arm(arm: Any, encoder: str) -> None:
    network, batch = make_network(TASK, encoder, arm), make_batch(TASK, SIZE)
    assert network.layouts == []
    target = torch.tensor([[0, 1], [1, 2], [2, 3]])
    found = explain_by(network, batch, target, methods=APPLY)
    with torch.no_grad():
        logits = network(batch).logits
    for method in APPLY:
        patches, features = found[method][:2]
        assert patches.shape == (SIZE, 2, *network.encoder.grid_size), method
        assert features.shape == (SIZE, 2, len(CARDINALITIES)), method
        assert (patches >= 0).all(), method
        assert patches.amax() > 0, method
        assert (features[batch.missing.unsqueeze(1).expand_as(features)] == 0).all(), method
        assert features.amax() > 0, method
        if method != "random":
            torch.testing.assert_close(found[method].logits, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arm", ARMS)
def test_methods_that_read_attention_name_those_that_apply(arm: Any) -> None:
    network, batch = make_network(TASK, fusion=arm), make_batch(TASK, SIZE)
    for method in READING:
        message = f"^{method} read .*{arm.__name__} has no such attention.*: {', '.join(APPLY)}"
        with pytest.raises(UsageError, match=message):
            explain(network, batch, method=method)


def above_the_map(network: LesionNetwork, positions: Tensor, batch: LesionBatch) -> Tensor:
    tokens = torch.cat([positions.mean(1, keepdim=True), positions], dim=1)
    return network(batch.with_tokens(tokens)).logits


@pytest.mark.parametrize("arm", [ImageOnly, Concatenation, MetaBlock, FiLM, CrossAttention])
def test_grad_cam_of_a_cnn_is_that_of_its_last_map(arm: Any) -> None:
    """Weights are the mean gradients over the positions, a case and a class at a time."""
    network = make_network(TASK, CNN, arm).double()
    batch = make_batch(TASK, SIZE, dtype=torch.float64)
    target = torch.arange(4).expand(SIZE, -1)
    found = explain(network, batch, target, method="grad_cam")
    for case in range(SIZE):
        one = batch.cases([case])
        positions = network.encoder(one.image)[:, 1:].detach().requires_grad_()
        metadata = one.metadata.clone().requires_grad_()
        logits = above_the_map(network, positions, one._replace(metadata=metadata))[0]
        for number, logit in enumerate(logits):
            of_map, of_columns = torch.autograd.grad(
                logit, (positions, metadata), retain_graph=True, allow_unused=True
            )
            weights = of_map[0].mean(0)
            expected = [max(0.0, float(weights @ place)) for place in positions[0].detach()]
            torch.testing.assert_close(
                found.patches[case, number].flatten().tolist(), expected, rtol=1e-9, atol=1e-12
            )
            if arm is ImageOnly:
                assert found.features.shape[2] == 0
                continue
            blocks = (metadata * of_columns)[0].detach().split(list(CARDINALITIES))
            bars = [
                0.0 if gone else max(0.0, float(block.sum()))
                for block, gone in zip(blocks, one.missing[0], strict=True)
            ]
            torch.testing.assert_close(
                found.features[case, number].tolist(), bars, rtol=1e-9, atol=1e-12
            )
    assert (found.patches > 1e-3).any()


def test_grad_cam_of_a_vit_that_pools_patches_sees_what_enters_its_last_block() -> None:
    network, batch = make_network(TASK, fusion=MetaNet), make_batch(TASK, SIZE)
    layer, layout = network.map_layer
    assert layer is network.encoder.vit.blocks[-1]
    assert layout.sizes == [1, 16, 0]
    assert network(batch).logits.isfinite().all()


def test_vitatt_on_a_cnn_has_every_method() -> None:
    network, batch = make_network(TASK, CNN), make_batch(TASK, SIZE)
    assert isinstance(network, AttentionFusion)
    found = explain_by(network, batch, methods=list(METHODS))
    for method in METHODS:
        assert found[method].patches.shape == (SIZE, 1, 2, 2), method
        assert found[method].features.shape == (SIZE, 1, len(CARDINALITIES)), method
        assert found[method].patches.isfinite().all(), method


def test_the_layers_of_a_cnn_are_randomised_from_the_logits_down() -> None:
    network, batch = make_network(TASK, CNN, ImageOnly), make_batch(TASK, SIZE)
    target = torch.zeros(SIZE, 1, dtype=torch.long)
    before = explain(network, batch, target, method="grad_cam")
    found = randomisation(network, batch, target, before, method="grad_cam")
    stages = [f"encoder.cnn.blocks.{n}" for n in reversed(range(5))]
    top, bottom = ["head", "norm", "encoder.cnn.bn2", "encoder.cnn.conv_head"], ["bn1", "conv_stem"]
    assert list(found) == [*top, *stages, *(f"encoder.cnn.{name}" for name in bottom)]
