"""Grad-CAM against one written out by hand, a case and a class at a time, in float64."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor, nn

from tests.explain.reference_tmme import _block, _norm
from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.methods import explain
from vitatt.explain.methods.grad_cam import grad_cam
from vitatt.explain.methods.relevance import Relevance
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

SIZE = 3
TASK = make_task(image_size=48)
REGISTERS = "vitatt_test_registers"

NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {"depth": 1},
    "depth2": {"depth": 2},
    "join3-depth0": {"join_at": 3},
    "join0-depth0": {"join_at": 0},
    "join3-depth1": {"join_at": 3, "depth": 1},
    "joint": {"granularity": "joint"},
    "token": {"missing": "token"},
    "registers": {"encoder": REGISTERS},
    "registers-join2": {"encoder": REGISTERS, "join_at": 2},
    "image-only": {"fusion": ImageOnly},
    "registers-image-only": {"encoder": REGISTERS, "fusion": ImageOnly},
}


def one_case(batch: LesionBatch, case: int) -> LesionBatch:
    return batch.cases([case])


def above(network: LesionNetwork, tokens: Tensor, attendable: Tensor) -> Tensor:
    """Logits (C,) from the tokens (N, D) that enter the last layer, by formulas."""
    state = {name: value.double() for name, value in network.state_dict().items()}
    vit = network.encoder.vit
    everything = list(range(len(tokens)))
    if depth := len(getattr(network, "blocks", ())):
        heads = network.blocks[-1].attn.num_heads
        tokens = _block(
            state, f"blocks.{depth - 1}.", tokens, attendable, everything, heads, 1e-5, []
        )
    else:
        name = f"encoder.vit.blocks.{len(vit.blocks) - 1}."
        heads, eps = vit.blocks[-1].attn.num_heads, vit.norm.eps
        tokens = _block(state, name, tokens, attendable, everything, heads, eps, [])
        tokens = _norm(state, "encoder.vit.norm", tokens, eps)
    logits = state["head.weight"] @ _norm(state, "norm", tokens[0], 1e-5) + state["head.bias"]
    return logits - logits.sum() / len(logits)


def by_hand(network: LesionNetwork, batch: LesionBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Patches (B, C, h, w), features (B, C, M) and logits (B, C)."""
    rows, columns = network.encoder.grid_size
    prefix, count, metadata = network.layouts[-1].sizes
    maps, bars, scores = [], [], []
    for case in range(len(batch.target)):
        caught: list[Tensor] = []
        hook = network.last_layer.register_forward_pre_hook(
            lambda module, inputs, caught=caught: caught.append(inputs[0])
        )
        with torch.no_grad():
            network(one_case(batch, case))
        hook.remove()
        tokens = caught[0][0].clone().requires_grad_()
        attendable = torch.ones(len(tokens), dtype=torch.bool)
        encoder = getattr(network, "metadata_encoder", None)
        if encoder is not None and encoder.missing == "mask":
            gone = batch.missing[case]
            attendable[prefix + count :] = ~gone.all() if encoder.joint else ~gone
        logits = above(network, tokens, attendable)
        scores.append(logits.detach())
        of_case, of_features = [], []
        for logit in logits:
            (gradient,) = torch.autograd.grad(logit, tokens, retain_graph=True)
            weights = torch.zeros(tokens.shape[1], dtype=torch.float64)
            for patch in range(count):
                weights += gradient[prefix + patch] / count
            value = tokens.detach()
            of_case.append(
                torch.tensor(
                    [
                        [
                            max(0.0, float(weights @ value[prefix + y * columns + x]))
                            for x in range(columns)
                        ]
                        for y in range(rows)
                    ],
                    dtype=torch.float64,
                )
            )
            own = [
                max(0.0, float(gradient[n] @ value[n]))
                for n in range(prefix + count, prefix + count + metadata)
            ]
            of_features.append(torch.tensor(own, dtype=torch.float64))
        maps.append(torch.stack(of_case))
        bars.append(torch.stack(of_features))
    return torch.stack(maps), torch.stack(bars), torch.stack(scores)


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_agrees_with_grad_cam_by_hand(arguments: dict[str, Any]) -> None:
    batch = make_batch(TASK, SIZE, dtype=torch.float64)
    network = make_network(TASK, **arguments).double()
    patches, features, logits = by_hand(network, batch)
    # The comparison says something only if something is positive and something was cut off.
    assert (patches > 1e-3).any()
    assert (patches == 0).any()
    assert "fusion" in arguments or (features > 1e-9).any()
    target = torch.arange(len(TASK.classes)).expand(SIZE, -1)
    actual = explain(network, batch, target, method="grad_cam")
    assert actual.features.shape == features.shape
    torch.testing.assert_close(actual.patches, patches, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(actual.features, features, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(actual.logits, logits, rtol=1e-10, atol=1e-10)


def test_a_feature_that_is_not_attended_to_has_no_relevance() -> None:
    batch = make_batch(TASK, 8)
    target = torch.arange(len(TASK.classes)).expand(8, -1)
    for arguments in ({}, {"join_at": 3}):
        found = explain(make_network(TASK, **arguments), batch, target, method="grad_cam")
        features = found.features.amax(1)  # of any class
        assert (features[batch.missing] == 0).all()
        assert (features[~batch.missing] > 0).float().mean() > 0.8


@pytest.mark.parametrize("arguments", [{}, {"join_at": 3}, {"fusion": ImageOnly}])
def test_classes_at_once_are_each_alone(arguments: dict[str, Any]) -> None:
    batch = make_batch(TASK, SIZE, dtype=torch.float64)
    network = make_network(TASK, **arguments).double()
    target = torch.tensor([[0, 1, 3], [2, 2, 0], [3, 1, 2]])
    together = grad_cam(network, batch, target)
    for k in range(3):
        alone = grad_cam(network, batch, target[:, k : k + 1])
        torch.testing.assert_close(
            together.patches[:, k], alone.patches[:, 0], rtol=1e-12, atol=1e-14
        )
        torch.testing.assert_close(
            together.features[:, k], alone.features[:, 0], rtol=1e-12, atol=1e-14
        )
    torch.testing.assert_close(together.patches[1, 0], together.patches[1, 1], rtol=0, atol=0)
    assert not torch.allclose(together.patches[:, 0], together.patches[:, 2], rtol=1e-2)


def test_one_pass_whatever_the_number_of_classes() -> None:
    batch = make_batch(TASK, SIZE)
    network = make_network(TASK)
    passes: list[nn.Module] = []
    network.register_forward_hook(lambda module, *_: passes.append(module))
    found: Relevance = grad_cam(network, batch, torch.tensor([[0, 1, 2, 3]] * SIZE))
    assert len(passes) == found.cost.forwards == 1
    assert found.patches.shape == (SIZE, 4, 3, 3)


@pytest.mark.parametrize("part", ["last_layer", "head", "encoder"])
def test_hooks_are_removed_after_an_error(part: str) -> None:
    batch = make_batch(TASK, SIZE)
    network = make_network(TASK).train()
    modes = [module.training for module in network.modules()]

    def fail(*_: Any) -> NoReturn:
        raise ArithmeticError(part)

    broken = getattr(network, part).register_forward_hook(fail)
    with pytest.raises(ArithmeticError, match=part):
        explain(network, batch, torch.zeros(SIZE, 1, dtype=torch.long), method="grad_cam")
    broken.remove()
    for module in network.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
    assert [module.training for module in network.modules()] == modes


@pytest.mark.parametrize("arguments", [{}, {"join_at": 3}, {"fusion": ImageOnly}])
def test_no_hook_and_no_gradient_is_left(arguments: dict[str, Any]) -> None:
    batch = make_batch(TASK, SIZE)
    network = make_network(TASK, **arguments)
    found = explain(network, batch, torch.tensor([[0, 1]] * SIZE), method="grad_cam")
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    for module in network.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert not any(part.requires_grad for part in found[:3])
