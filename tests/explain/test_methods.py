from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.attention import attention_probabilities, recorded_forward
from vitatt.explain.methods import METHODS, explain
from vitatt.explain.relevance import Cost, Relevance
from vitatt.models.baselines.image_only import ImageOnly
from vitatt.models.baselines.metadata_only import MetadataOnly
from vitatt.models.baselines.missing_pattern import MissingPattern
from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch

TASK = make_task()
SIZE = 4
JOIN: dict[str, Any] = {"join_at": 3, "depth": 1}


@pytest.fixture
def batch() -> LesionBatch:
    return make_batch(TASK, SIZE)


@pytest.fixture(params=[{}, JOIN], ids=["depth1", "join3"])
def network(request: pytest.FixtureRequest) -> LesionNetwork:
    return make_network(TASK, **request.param)


@pytest.fixture
def target() -> Tensor:
    return torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])


def in_double(network: LesionNetwork, batch: LesionBatch) -> tuple[LesionNetwork, LesionBatch]:
    return network.double(), batch._replace(metadata=batch.metadata.double())


def assert_equal(actual: Relevance, expected: Relevance, **tolerance: float) -> None:
    for name, one, other in zip(Relevance._fields[:3], actual[:3], expected[:3], strict=True):
        torch.testing.assert_close(
            one, other, msg=lambda m, n=name: f"{n}: {m}", equal_nan=True, **tolerance
        )


def _rows_of(relevance: Relevance, rows: Any) -> Relevance:
    return Relevance(*(part[rows] for part in relevance[:3]), relevance.cost)


# What it leaves behind.


def test_explain_leaves_gradients_flags_hooks_and_random_state(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    parameters = list(network.parameters())
    for parameter in parameters[::2]:
        parameter.grad = torch.ones_like(parameter)
    parameters[1].requires_grad_(False)
    network.train()
    network.encoder.vit.blocks[2].eval()  # mixed states
    network.metadata_encoder.norm.eval()
    before = (
        [None if p.grad is None else p.grad.clone() for p in parameters],
        [p.requires_grad for p in parameters],
        [m.training for m in network.modules()],
        {name: value.clone() for name, value in network.state_dict().items()},
        torch.get_rng_state(),
        torch.is_grad_enabled(),
    )
    explain(network, batch, target)
    after = (
        [p.grad for p in parameters],
        [p.requires_grad for p in parameters],
        [m.training for m in network.modules()],
        network.state_dict(),
        torch.get_rng_state(),
        torch.is_grad_enabled(),
    )
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert not any(tensor.requires_grad for tensor in batch[:4])


@pytest.mark.parametrize("error", ["class out of range", "in the caller"])
def test_training_flags_come_back_after_an_error(batch: LesionBatch, error: str) -> None:
    network = make_network(TASK).train()
    network.head.eval()
    modes = [module.training for module in network.modules()]
    if error == "in the caller":
        with pytest.raises(KeyError), recorded_forward(network, batch):
            raise KeyError
    else:
        with pytest.raises(ValueError, match="classes 0 to 3"):
            explain(network, batch, torch.full((SIZE, 1), 4))
    assert [module.training for module in network.modules()] == modes
    assert network(batch).logits.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_explain_keeps_no_tensor_alive(batch: LesionBatch, target: Tensor, method: Any) -> None:
    network = make_network(TASK, **JOIN)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    explain(network, batch, target, method=method)  # what is made once, such as caches
    before = tensors()
    result = explain(network, batch, target, method=method)
    assert not any(tensor.requires_grad for tensor in result[:3])
    del result
    assert tensors() == before


# Where it works.


def under_no_grad(call: Callable[[], Relevance]) -> Relevance:
    with torch.no_grad():
        return call()


def under_inference(call: Callable[[], Relevance]) -> Relevance:
    with torch.inference_mode():
        return call()


@pytest.mark.parametrize("under", [under_no_grad, under_inference])
@pytest.mark.parametrize("method", METHODS)
def test_explain_without_gradients_around(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor,
    under: Callable[[Callable[[], Relevance]], Relevance],
    method: Any,
) -> None:
    def call() -> Relevance:
        made_here = LesionBatch(*(field.clone() for field in batch[:4]), batch.case_id)
        return explain(network, made_here, target.clone(), method=method)

    assert_equal(under(call), call(), rtol=0, atol=0)


@pytest.mark.parametrize("arguments", [{}, JOIN, {"fusion": ImageOnly}])
def test_explain_with_frozen_parameters(
    batch: LesionBatch, target: Tensor, arguments: dict[str, Any]
) -> None:
    network = make_network(TASK, **arguments)
    expected = explain(network, batch, target)
    frozen = make_network(TASK, frozen=True, **arguments)
    frozen.requires_grad_(False)
    assert_equal(explain(frozen, batch, target), expected, rtol=0, atol=0)


def test_explain_with_a_compiled_network(batch: LesionBatch, target: Tensor) -> None:
    network = make_network(TASK)
    expected = explain(network, batch, target)
    network.compile(backend="eager")
    with torch.no_grad():
        network(batch)  # compiled before it is explained
    assert_equal(explain(network, batch, target), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(network(batch).logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_explain_in_bfloat16_autocast_is_close(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    expected = explain(network, batch, target)
    with torch.autocast("cpu", torch.bfloat16):
        actual = explain(network, batch, target)
    for one, other in zip(actual[:2], expected[:2], strict=True):
        assert torch.isfinite(one).all()
        assert (one >= 0).all()
        assert (one.float() - other).norm() < 0.1 * other.norm()


def test_relevance_is_computed_in_float32_under_autocast(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    with torch.autocast("cpu", torch.bfloat16), recorded_forward(network, batch) as recorded:
        call = recorded.calls[-1]
        inside = attention_probabilities(call)
        with torch.autocast("cpu", enabled=False):
            expected = attention_probabilities(call)
        relevance = explain(network, batch, target)
    assert call.key.dtype == torch.bfloat16
    torch.testing.assert_close(inside, expected, rtol=1e-6, atol=1e-7)
    assert relevance.patches.dtype == relevance.features.dtype == torch.float32


# What it promises.


def test_several_classes_at_once_are_each_alone(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    both = explain(network, batch, target)
    for k in range(2):
        alone = explain(network, batch, target[:, k : k + 1])
        torch.testing.assert_close(both.patches[:, k], alone.patches[:, 0])
        torch.testing.assert_close(both.features[:, k], alone.features[:, 0])
    assert not torch.allclose(both.patches[:, 0], both.patches[:, 1], rtol=1e-2)


def test_permuting_the_batch_permutes_relevance(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    network, batch = in_double(network, batch)
    order = torch.tensor([2, 0, 3, 1])
    permuted = LesionBatch(
        *(field[order] for field in batch[:4]), [batch.case_id[i] for i in order]
    )
    expected = _rows_of(explain(network, batch, target), order)
    assert_equal(explain(network, permuted, target[order]), expected, rtol=1e-10, atol=1e-12)


def test_relevance_of_a_case_does_not_depend_on_the_others(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    network, batch = in_double(network, batch)
    together = explain(network, batch, target)
    for i in range(SIZE):
        one = LesionBatch(*(field[i : i + 1] for field in batch[:4]), batch.case_id[i : i + 1])
        expected = _rows_of(together, slice(i, i + 1))
        actual = explain(network, one, target[i : i + 1])
        assert_equal(actual, expected, rtol=1e-10, atol=1e-12)


def test_logits_are_those_of_evaluation_mode(network: LesionNetwork, batch: LesionBatch) -> None:
    with torch.no_grad():
        expected = network.eval()(batch).logits
    network.train()
    actual = explain(network, batch, batch.target.unsqueeze(1))
    torch.testing.assert_close(actual.logits, expected)


def test_image_share_is_the_share_of_the_image() -> None:
    patches = torch.tensor([[[[1.0, 2.0]]], [[[0.0, 0.0]]]])
    features = torch.tensor([[[1.0]], [[0.0]]])
    share = Relevance(patches, features, torch.zeros(2, 1), Cost(1, 1, 0.0)).image_share
    torch.testing.assert_close(share, torch.tensor([[0.75], [torch.nan]]), equal_nan=True)


# What it refuses.


@pytest.mark.parametrize("shape", [(SIZE,), (SIZE + 1, 1), (SIZE, 1, 1)])
def test_target_of_the_wrong_shape(batch: LesionBatch, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`target` to have shape \(4, K\)"):
        explain(make_network(TASK), batch, torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("value", [-1, len(TASK.classes)])
def test_target_that_is_no_class(batch: LesionBatch, value: int) -> None:
    target = torch.zeros(SIZE, 2, dtype=torch.long)
    target[1, 1] = value
    with pytest.raises(ValueError, match=r"classes 0 to 3, but got values from"):
        explain(make_network(TASK), batch, target)


@pytest.mark.parametrize("arm", [MetadataOnly, MissingPattern])
def test_network_without_attention(batch: LesionBatch, arm: type[LesionNetwork]) -> None:
    network = make_network(TASK, fusion=arm)
    with pytest.raises(ValueError, match="no method applies"):
        explain(network, batch, batch.target.unsqueeze(1))


@pytest.mark.parametrize("blocks", [slice(None), slice(2, 3)], ids=["all", "one"])
def test_attention_that_is_not_fused(batch: LesionBatch, blocks: slice) -> None:
    network = make_network(TASK)
    changed: list[nn.Module] = list(network.encoder.vit.blocks[blocks])
    for block in changed:
        block.attn.fused_attn = False
    with pytest.raises(RuntimeError, match="TIMM_FUSED_ATTN"):
        explain(network, batch, batch.target.unsqueeze(1))
