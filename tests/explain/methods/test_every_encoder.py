"""All methods on encoders of all families."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.models.encoders.test_families import EVERY, MAPS, SIZE
from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.attention.recorded_forward import recorded_forward
from vitatt.explain.checks.sanity import randomisation
from vitatt.explain.methods import METHODS, explain, explain_by
from vitatt.explain.methods.memory import cases_at_once
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.types import UsageError

pytestmark = pytest.mark.long

TASK = make_task(image_size=SIZE)
CASES = 3
TARGET = torch.tensor([[0, 1], [1, 2], [2, 3]])
READING = [name for name, method in METHODS.items() if method.reads_attention]
OTHERS = [name for name in METHODS if name not in READING]
FOUR = ["vitatt_test_dinov3", "vitatt_test_beit", "vitatt_test_siglip", "vitatt_test_swin"]
WITHOUT_ATTENDING_CLASS_TOKEN = ["vitatt_test_mean", *MAPS]


def check(network: Any, methods: list[str]) -> None:
    batch = make_batch(TASK, CASES)
    found = explain_by(network, batch, TARGET, methods=methods)
    for method in methods:
        patches, features = found[method][:2]
        assert patches.shape == (CASES, 2, *network.encoder.grid_size), method
        assert (patches >= 0).all(), method
        assert patches.isfinite().all(), method
        assert patches.amax() > 0, method
        assert not network.cardinalities or features[1:].amax() > 0, method
    hooks = [module for module in network.modules() if module._forward_hooks]
    hooks += [module for module in network.modules() if module._forward_pre_hooks]
    assert hooks == []


@pytest.mark.parametrize("name", EVERY)
def test_vitatt(name: str) -> None:
    check(make_network(TASK, name), [*METHODS])


@pytest.mark.parametrize("name", EVERY)
def test_the_image_alone(name: str) -> None:
    network = make_network(TASK, name, ImageOnly)
    check(network, OTHERS)
    if name not in WITHOUT_ATTENDING_CLASS_TOKEN:
        check(network, READING)
        return
    message = "tmme read how a class token attends to all tokens, and ImageOnly has no such"
    with pytest.raises(UsageError, match=f"{message}.*grad_cam, integrated_gradients, occlusion"):
        explain(network, make_batch(TASK, CASES), TARGET)


@pytest.mark.parametrize("name", ["vitatt_test_siglip", "vitatt_test_mean", "vitatt_test_swin"])
def test_an_arm_without_attention(name: str) -> None:
    check(make_network(TASK, name, FiLM), OTHERS)


def fused_swin(**arguments: Any) -> Any:
    """A network whose windows use the fused kernel, as timm's with TIMM_FUSED_ATTN=2."""
    network = make_network(TASK, "vitatt_test_swin", **arguments)
    for module in network.encoder.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = True
    return network


def test_windows_of_swin_are_not_recorded_and_stay_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = fused_swin(depth=2), make_batch(TASK, CASES)
    check(network, READING)
    with recorded_forward(network, batch) as recorded:
        assert [call.layout for call in recorded.calls] == network.layouts
        assert [layout.sizes for layout in network.layouts] == [[1, 4, 4]] * 2
    with torch.no_grad():
        torch.testing.assert_close(recorded.logits, network(batch).logits)
    calls: list[int] = []
    kernel = F.scaled_dot_product_attention

    def count(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        return kernel(*arguments, **more)

    monkeypatch.setattr(F, "scaled_dot_product_attention", count)
    network.encoder.train()(batch.image)
    assert len(calls) == 5


def test_recording_goes_on_after_an_encoder_that_failed() -> None:
    network, batch = fused_swin(), make_batch(TASK, CASES)

    def fail(*_: Any) -> None:
        raise RuntimeError("in the encoder")

    hook = network.encoder.cnn.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="in the encoder"):
        explain(network, batch, TARGET)
    hook.remove()
    check(network, READING)


@pytest.mark.parametrize("name", ["convnext_tiny", "resnet26t", "swin_tiny_patch4_window7_224"])
def test_memory_of_a_feature_map_counts_all_of_its_layers(name: str) -> None:
    task = make_task(image_size=64)
    network, batch = make_network(task, name), make_batch(task, 4)
    stored: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        stored[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.encoder(batch.image)
    weights = sum(parameter.numel() for parameter in network.encoder.parameters())
    ratio = (sum(stored.values()) - weights) / len(batch.target) / network.encoder.activations
    assert 0.3 < ratio < 3, ratio
    assert cases_at_once(network, batch) == 4


@pytest.mark.parametrize("name", FOUR)
def test_relevance_depends_on_the_weights(name: str) -> None:
    network, batch = make_network(TASK, name), make_batch(TASK, CASES)
    relevance = explain(network, batch, TARGET)
    found = randomisation(network, batch, TARGET, relevance, method="tmme", points=3)
    assert len(found) == 3
    assert min(correlations.mean() for correlations in found.values()) < 0.9


@pytest.mark.parametrize("name", FOUR)
def test_compiled_networks_are_whole_graphs_and_run_eagerly_to_be_explained(name: str) -> None:
    network, batch = make_network(TASK, name), make_batch(TASK, CASES)
    expected = explain(network, batch, TARGET)
    with torch.no_grad():
        logits = network(batch).logits
        network.compile(backend="eager", fullgraph=True)
        torch.testing.assert_close(network(batch).logits, logits)
    actual = explain(network, batch, TARGET)
    torch.testing.assert_close(actual.patches, expected.patches)


@pytest.mark.parametrize("name", FOUR)
def test_mixed_precision(name: str) -> None:
    """A panel is explained within autocast, whose kernels get a bias in float32."""
    network, batch = make_network(TASK, name), make_batch(TASK, 4)
    target = torch.arange(4).expand(4, -1)
    exact = explain(network, batch, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = explain(network, batch, target)
    assert mixed.patches.dtype == torch.float32
    both = torch.stack([exact.patches.flatten(), mixed.patches.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95
