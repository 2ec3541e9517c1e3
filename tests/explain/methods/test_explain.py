from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tasks import make_batch, make_network, make_task, tensors
from vitatt.explain.attention.call import attention_probabilities
from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.differentiation import own_inputs
from vitatt.explain.attention.recorded_forward import RecordedForward, recorded_forward
from vitatt.explain.methods import METHODS, Method, explain, explain_by, predict
from vitatt.explain.methods.memory import cases_at_once
from vitatt.explain.methods.random import random_relevance
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.explain.methods.tmme import tmme
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metablock import MetaBlock
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.missing_pattern import MissingPattern
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError

pytestmark = pytest.mark.long

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
    assert not any(tensor.requires_grad for tensor in tensors(batch))


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
        made_here = own_inputs(batch)
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
    permuted = batch.cases(order.tolist())
    expected = _rows_of(explain(network, batch, target), order)
    assert_equal(explain(network, permuted, target[order]), expected, rtol=1e-10, atol=1e-12)


def test_relevance_of_a_case_does_not_depend_on_the_others(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    network, batch = in_double(network, batch)
    together = explain(network, batch, target)
    for i in range(SIZE):
        one = batch.cases(slice(i, i + 1))
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


# All methods by one call.

EVERY: list[Any] = list(METHODS)
READING: list[Any] = ["tmme", "attention", "rollout"]
CLASSLESS = {name for name, method in METHODS.items() if not method.class_specific}
WITHOUT_ATTENTION: list[Any] = ["grad_cam", "integrated_gradients", "occlusion", "random"]


class Pooled(LesionNetwork):
    """Has an image encoder, but only averages its patches: no attention of its own."""

    encoder: ImageEncoder

    def __init__(self, encoder: ImageEncoder, task: LesionTask) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.of_metadata = nn.Linear(sum(task.cardinalities), encoder.dim)
        self.head = ClassHead(encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        image = self.encoder(batch.image)[:, self.encoder.num_prefix :].tanh().mean(1)
        embedding = image + self.of_metadata(batch.metadata)
        return LesionOutput(self.head(embedding), embedding)


@pytest.mark.parametrize("arguments", [JOIN, {"fusion": ImageOnly}])
def test_all_methods_at_once_are_each_alone(
    batch: LesionBatch, target: Tensor, arguments: dict[str, Any]
) -> None:
    network = make_network(TASK, **arguments)
    together = explain_by(network, batch, target, methods=EVERY)
    assert set(together) == set(METHODS)
    for method in EVERY:
        alone = explain(network, batch, target, method=method)
        assert_equal(together[method], alone, rtol=1e-6, atol=1e-7)
    backwards = explain_by(network, batch, target, methods=READING[::-1])
    for method in READING:
        assert_equal(backwards[method], together[method], rtol=0, atol=0)
    for method in CLASSLESS:
        both = together[method].patches
        torch.testing.assert_close(both[:, 0], both[:, 1], rtol=0, atol=0)
    for method in set(METHODS) - CLASSLESS:
        both = together[method].patches
        assert (both[:, 0] - both[:, 1]).abs().max() > 1e-3 * both.max()
    # They are different methods indeed.
    flat = [together[method].patches.flatten() / together[method].patches.sum() for method in EVERY]
    for i, one in enumerate(flat):
        for other in flat[:i]:
            assert (one - other).abs().max() > 1e-4


def test_methods_that_read_attention_share_one_pass(batch: LesionBatch, target: Tensor) -> None:
    network = make_network(TASK)
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    explain_by(network, batch, target, methods=READING)
    assert len(passes) == 1
    explain_by(network, batch, methods=READING)
    assert len(passes) == 3, "the predicted class has to be known first"


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("arguments", [{}, JOIN, {"fusion": ImageOnly}])
def test_parts_of_a_batch_are_the_whole(
    arguments: dict[str, Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(TASK, 7)
    target = torch.stack([torch.arange(7) % 4, (torch.arange(7) + 1) % 4], dim=1)
    network = make_network(TASK, **arguments)
    assert cases_at_once(network, batch) == 7
    # One case at a time is slow, and a forward and a backward pass of any method tell.
    methods = EVERY if size > 1 else [*READING, "grad_cam"]
    whole = explain_by(network, batch, target, methods=methods)
    unasked = explain(network, batch)
    one = 10 * 4 * network.encoder.dim * sum(layout.length for layout in network.layouts)
    monkeypatch.setattr("vitatt.explain.methods.memory._CPU_BUDGET", 3.2 * one if size == 3 else 1)
    assert cases_at_once(network, batch) == size
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0].target)))
    parts = explain_by(network, batch, target, methods=READING)
    assert len(sizes) == -(-7 // size)
    parts |= explain_by(network, batch, target, methods=[*set(methods) - set(READING)])
    for method in methods:
        assert_equal(parts[method], whole[method], rtol=1e-4, atol=1e-6)
        assert parts[method].cost[:2] == whole[method].cost[:2]
    assert parts["tmme"].cost[:2] == (1, 2)
    assert_equal(explain(network, batch), unasked, rtol=1e-4, atol=1e-6)
    assert max(sizes) <= size


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_batch_is_refused(method: Any) -> None:
    empty = make_batch(TASK, 1).cases(slice(0, 0))
    with pytest.raises(ValueError, match="at least one case"):
        explain(make_network(TASK), empty, method=method)


def test_networks_without_attention_go_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(TASK, 7)
    network = make_network(TASK, fusion=MetaBlock)
    whole = explain(network, batch, method="grad_cam")
    monkeypatch.setattr("vitatt.explain.methods.memory._CPU_BUDGET", 1)
    assert cases_at_once(network, batch) == 1
    assert_equal(explain(network, batch, method="grad_cam"), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_by_default_the_predicted_class_is_explained(batch: LesionBatch, method: Any) -> None:
    network = make_network(TASK)
    with torch.no_grad():
        predicted = network(batch).logits.argmax(1)
    assert torch.equal(predict(network, batch), predicted)
    assert len(predicted.unique()) > 1
    found = explain(network, batch, method=method)
    assert found.patches.shape[:2] == found.features.shape[:2] == (SIZE, 1)
    expected = explain(network, batch, predicted.unsqueeze(1), method=method)
    assert_equal(found, expected, rtol=0, atol=0)
    if method not in CLASSLESS:
        other = explain(network, batch, (predicted.unsqueeze(1) + 1) % 4, method=method)
        assert not torch.allclose(other.patches, expected.patches, rtol=1e-2)


def test_costs(batch: LesionBatch, target: Tensor) -> None:
    network = make_network(TASK)
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    forwards = {"random": 0, "integrated_gradients": 41, "occlusion": 1 + 4 + len(TASK.features)}
    backwards = {"tmme": 2, "integrated_gradients": 40}
    backwards |= dict.fromkeys(("attention", "rollout", "grad_cam", "occlusion", "random"), 0)
    for method in backwards:
        passes.clear()
        cost = explain(network, batch, target, method=method).cost
        assert cost.forwards == len(passes) == forwards.get(method, 1), method
        assert cost.backwards == backwards[method], method
        assert 0 < cost.seconds < 60, method
    together = explain_by(network, batch, target, methods=["random", "integrated_gradients"])
    assert together["integrated_gradients"].cost.seconds > together["random"].cost.seconds


def test_what_was_not_observed_has_no_relevance_by_any_method(
    network: LesionNetwork, batch: LesionBatch, target: Tensor
) -> None:
    found = explain_by(network, batch, target, methods=EVERY)
    for method in EVERY:
        features = found[method].features.amax(1)
        assert (features[batch.missing] == 0).all(), method
        assert (features[~batch.missing] > 0).any(), method


def test_random_relevance_belongs_to_the_case_and_not_to_the_batch(batch: LesionBatch) -> None:
    network = make_network(TASK)
    whole = explain(network, batch, method="random")
    order = [2, 0, 3]
    some = explain(network, batch.cases(order), method="random")
    assert torch.equal(some.patches, whole.patches[order])
    assert torch.equal(some.features, whole.features[order])
    assert len(whole.patches.unique()) == whole.patches.numel(), "no two cases are alike"
    assert 0 <= whole.patches.min() < 0.25 < 0.75 < whole.patches.max() < 1


# Methods that do not apply.


@pytest.mark.parametrize("method", READING)
def test_a_network_without_attention_names_the_methods_that_apply(
    batch: LesionBatch, target: Tensor, method: Any
) -> None:
    network = make_network(TASK, fusion=Pooled)
    names = ", ".join(WITHOUT_ATTENTION)
    expected = rf"{method} read .* Pooled has no such attention\. Methods that apply to it: {names}"
    with pytest.raises(ValueError, match=expected):
        explain(network, batch, target, method=method)
    with pytest.raises(ValueError, match=f"^{method} read how a class token attends"):
        explain_by(network, batch, target, methods=["random", method, "occlusion"])


def test_a_network_without_attention_has_the_others(batch: LesionBatch, target: Tensor) -> None:
    network = make_network(TASK, fusion=Pooled)
    found = explain_by(network, batch, target, methods=WITHOUT_ATTENTION)
    for method in WITHOUT_ATTENTION:
        assert found[method].patches.shape == (SIZE, 2, 2, 2)
        assert found[method].patches.amax() > 0
        assert found[method].features.amax() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_network_without_image_has_no_method(batch: LesionBatch, method: Any) -> None:
    network = make_network(TASK, fusion=MetadataOnly)
    with pytest.raises(ValueError, match="MetadataOnly has none: no method applies"):
        explain(network, batch, method=method)


def test_an_unknown_method(batch: LesionBatch) -> None:
    unknown: list[Any] = ["tmme", "lime"]
    with pytest.raises(ValueError, match=r"methods among tmme, .*random, but got \['lime'\]"):
        explain_by(make_network(TASK), batch, methods=unknown)


def test_tokens_instead_of_pixels(batch: LesionBatch) -> None:
    network = make_network(TASK, frozen=True)
    with torch.no_grad():
        tokens = network.encoder(batch.image)
    for method in EVERY:
        with pytest.raises(ValueError, match="Expected pixels"):
            explain(network, batch.with_tokens(tokens), method=method)


# Every method, everywhere.


@pytest.mark.parametrize(
    "arguments", [{}, {**JOIN, "frozen": True}, {"fusion": ImageOnly, "frozen": True}]
)
def test_every_method_in_bfloat16(
    batch: LesionBatch, target: Tensor, arguments: dict[str, Any]
) -> None:
    network = make_network(TASK, **arguments)
    expected = explain_by(network, batch, target, methods=EVERY)
    with torch.autocast("cpu", torch.bfloat16):
        actual = explain_by(network, batch, target, methods=EVERY)
    for method in EVERY:
        for one, other in zip(actual[method][:2], expected[method][:2], strict=True):
            assert one.shape == other.shape, method
            assert torch.isfinite(one).all(), method
            assert (one >= 0).all(), method
            assert not one.requires_grad, method
        # Close enough to be the same explanation.
        both = torch.stack(
            [found[method].patches.float().flatten(1) for found in (actual, expected)]
        )
        assert F.cosine_similarity(*both).min() > 0.9, method


@pytest.mark.slow
def test_every_method_with_a_compiled_network(batch: LesionBatch, target: Tensor) -> None:
    network = make_network(TASK, frozen=True)
    expected = explain_by(network, batch, target, methods=EVERY)
    network.compile(backend="eager")
    with torch.no_grad():
        logits = network(batch).logits
    actual = explain_by(network, batch, target, methods=EVERY)
    for method in EVERY:
        assert_equal(actual[method], expected[method], rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(network(batch).logits, logits, rtol=0, atol=0)


def state_of(network: LesionNetwork) -> Any:
    """All that an explanation must not touch."""
    return (
        [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        [p.requires_grad for p in network.parameters()],
        [m.training for m in network.modules()],
        {name: value.clone() for name, value in network.state_dict().items()},
        torch.get_rng_state(),
        torch.is_grad_enabled(),
        [
            len(hooks)
            for m in network.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
        ],
    )


@pytest.mark.parametrize("arguments", [{}, {**JOIN, "frozen": True}], ids=["depth1", "frozen"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_nothing_behind(
    batch: LesionBatch, target: Tensor, arguments: dict[str, Any], method: Any
) -> None:
    network = make_network(TASK, **arguments)
    for parameter in list(network.parameters())[::3]:
        parameter.grad = torch.ones_like(parameter)
    network.train()
    network.encoder.vit.blocks[1].eval()
    inputs = [part.clone() for part in tensors(batch)]
    before = state_of(network)
    found = explain(network, batch, target, method=method)
    torch.testing.assert_close(state_of(network), before, rtol=0, atol=0)
    for part, copy in zip(tensors(batch), inputs, strict=True):
        assert torch.equal(part, copy)
        assert not part.requires_grad
    # What is returned may be written to without a trace.
    for part in found[:3]:
        assert not part.requires_grad
        part.zero_()
    torch.testing.assert_close(state_of(network), before, rtol=0, atol=0)
    assert network(batch).logits.requires_grad


@pytest.mark.parametrize("arguments", [{}, JOIN], ids=["depth1", "join3"])
def test_explaining_in_the_middle_of_training_changes_nothing(
    batch: LesionBatch, target: Tensor, arguments: dict[str, Any]
) -> None:
    def train(explained: bool) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = make_network(TASK, **arguments).train()
            optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
            losses = []
            for step in range(1, 7):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(batch).logits, batch.target)
                if explained and step == 2:  # a graph waits to be passed back through
                    explain_by(network, batch, target, methods=EVERY)
                loss.backward()
                if explained and step == 3:  # gradients wait to be applied
                    explain_by(network, batch, target, methods=EVERY)
                optimizer.step()
                if explained and step == 3:
                    with torch.autocast("cpu", torch.bfloat16):
                        explain_by(network, batch, methods=EVERY)
                losses.append(loss.detach())
            return losses, state_of(network), torch.rand(3)

    expected = train(False)
    torch.testing.assert_close(train(True), expected, rtol=0, atol=0)
    assert len(torch.stack(expected[0]).unique()) == 6, "weights did change"


def test_a_hundred_explanations_take_no_memory(batch: LesionBatch) -> None:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("needs /proc to know the memory of this process")
    network = make_network(TASK)

    def measure() -> tuple[int, int]:
        gc.collect()
        tensors = sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
        return tensors, int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(10):
        explain(network, batch)
    tensors, memory = measure()
    for _ in range(100):
        explain(network, batch)
    after, later = measure()
    assert after == tensors
    assert later - memory < 20e6


# The registry of methods.


def even(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """An attention-reading method of a user's: every token counts the same."""
    layouts = [call.layout for call in recorded.calls]
    row = ClassRow.start(recorded.logits, layouts)
    return [ClassRow(*(torch.ones_like(part) for part in row.kinds))] * target.shape[1]


def test_a_method_is_added_by_a_line(
    batch: LesionBatch, target: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "even", Method("even", even, True, False, False))
    monkeypatch.setitem(METHODS, "second", Method("second TMME", tmme, True, True, False))
    monkeypatch.setitem(METHODS, "dice", Method("dice", random_relevance, False, False, False))
    network = make_network(TASK)
    chosen = ["second", "even", "tmme", "dice", "rollout"]
    found = explain_by(network, batch, target, methods=chosen)
    assert list(found) == chosen
    assert (found["even"].patches == 1).all()
    assert (found["even"].features == 1).all()
    assert_equal(found["dice"], explain(network, batch, target, method="random"), rtol=0, atol=0)
    for name in ("tmme", "second"):
        alone = explain(network, batch, target, method="tmme")
        assert_equal(found[name], alone, rtol=0, atol=0)
    assert [found[name].cost[:2] for name in chosen] == [(1, 2), (1, 0), (1, 2), (0, 0), (1, 0)]
    with pytest.raises(UsageError, match=r"even read how a class token attends .*: .*random, dice"):
        explain(make_network(TASK, fusion=MetaBlock), batch, target, method="even")
