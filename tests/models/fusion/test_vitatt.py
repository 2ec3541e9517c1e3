from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.missing_pattern import MissingPattern
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion, FusionBlock, JointAttention
from vitatt.types import Pixels

TASK = make_task()
REGISTERS = "vitatt_test_registers"

NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {},
    "depth2": {"depth": 2, "num_heads": 4},
    "join0": {"join_at": 0},
    "join5-depth1": {"join_at": 5, "depth": 1},
    "joint": {"granularity": "joint"},
    "registers": {"encoder": REGISTERS},
    "additive": {"additive": True, "depth": 2},
    "registers-join1": {"encoder": REGISTERS, "join_at": 1, "depth": 1},
}
networks = pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)


class Full(nn.Module):
    """A fusion block that always updates every token."""

    def __init__(self, block: FusionBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: Tensor, ignored: Tensor, *, class_only: bool = False) -> Tensor:
        return self.block(tokens, ignored, class_only=False)


@pytest.mark.parametrize("arguments", [{}, {"depth": 3}, {"join_at": 2, "depth": 1}])
def test_class_query_alone_gives_the_logits_of_the_full_layer(arguments: dict[str, Any]) -> None:
    network = make_network(TASK, **arguments).double()
    batch = make_batch(TASK, dtype=torch.float64)
    last = network.blocks[-1]
    short = network(batch)
    short_gradients = torch.autograd.grad(short.logits[:, 1].sum(), list(last.parameters()))
    network.blocks[-1] = Full(last)
    full = network(batch)
    full_gradients = torch.autograd.grad(full.logits[:, 1].sum(), list(last.parameters()))
    torch.testing.assert_close(short.logits, full.logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(short_gradients, full_gradients, rtol=1e-10, atol=1e-12)


@networks
@pytest.mark.parametrize("mode", ["mask", "token", "uniform"])
def test_logits_do_not_depend_on_what_stands_under_a_missing_feature(
    mode: str, arguments: dict[str, Any]
) -> None:
    network, batch = make_network(TASK, missing=mode, **arguments), make_batch(TASK)
    columns = batch.missing.repeat_interleave(torch.tensor(CARDINALITIES), dim=1)
    noise = torch.rand_like(batch.metadata)
    with torch.no_grad():
        logits = network(batch).logits
        hidden = network(batch._replace(metadata=torch.where(columns, noise, batch.metadata)))
        observed = network(batch._replace(metadata=torch.where(columns, batch.metadata, noise)))
    torch.testing.assert_close(hidden.logits, logits)
    changes = (observed.logits - logits).abs().amax(1)
    assert changes[0] == 0, "the first case lacks every feature"
    assert (changes[~batch.missing.all(1)] > 1e-4).all()


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"joint"}))
def test_masked_features_are_as_if_they_did_not_exist(name: str) -> None:
    """A case without features f gets the logits of a network that has no features f."""
    arguments = NETWORKS[name]
    network = make_network(TASK, **arguments)
    fewer_task = make_task(CARDINALITIES[2:])
    fewer = make_network(fewer_task, **arguments)
    state = network.state_dict()
    gone = sum(CARDINALITIES[:2])
    state["metadata_encoder.weight"] = state["metadata_encoder.weight"][gone:]
    for key in ("metadata_encoder.bias", "metadata_encoder.feature_embedding"):
        state[key] = state[key][2:]
    fewer.load_state_dict(state)
    batch = make_batch(TASK)
    batch.missing[:, :2] = True
    less = batch._replace(metadata=batch.metadata[:, gone:], missing=batch.missing[:, 2:])
    with torch.no_grad():
        torch.testing.assert_close(network(batch).logits, fewer(less).logits, rtol=1e-4, atol=1e-5)


@networks
def test_layouts_tell_the_sequence_of_every_attention_layer(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, batch = make_network(TASK, **arguments), make_batch(TASK, 2)
    lengths: list[int] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def noting(query: Tensor, key: Tensor, value: Tensor, **kwargs: Any) -> Tensor:
        lengths.append(key.shape[-2])
        return attention(query, key, value, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noting)
    output = network(batch)
    assert lengths == [layout.length for layout in network.layouts]
    assert output.logits.shape == (2, len(TASK.classes))
    assert output.embedding.shape == (2, network.encoder.dim)


@pytest.mark.parametrize("arguments", [{}, {"fusion": ImageOnly}])
@pytest.mark.parametrize("encoder", ["test_vit", REGISTERS])
def test_tokens_computed_beforehand_give_the_same_logits(
    arguments: dict[str, Any], encoder: str
) -> None:
    network = make_network(TASK, encoder, frozen=True, **arguments)
    batch = make_batch(TASK)
    assert network.cached_blocks == network.encoder.num_blocks
    with torch.no_grad():
        tokens = network.encoder(batch.image)
        expected = network(batch).logits
        torch.testing.assert_close(network(batch.with_tokens(tokens)).logits, expected)
        half = network(batch.with_tokens(tokens.half())).logits
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.02, atol=0.02)


def test_tokens_cannot_be_computed_beforehand_when_the_encoder_fuses_or_learns() -> None:
    network = make_network(TASK, frozen=True, join_at=0)
    assert network.cached_blocks == 0
    assert make_network(TASK).cached_blocks == 0
    assert make_network(TASK, frozen=True, fusion=MetadataOnly).cached_blocks == 0
    with pytest.raises(ValueError, match="Expected pixels, but got tokens"):
        network(make_batch(TASK).with_tokens(torch.zeros(8, 5, 64)))


@pytest.mark.parametrize(
    ("arguments", "blocks"),
    [({}, 4), ({"join_at": 4}, 4), ({"join_at": 3}, 3), ({"fusion": ImageOnly}, 4)],
)
def test_tokens_of_frozen_lower_blocks_give_the_same_logits(
    arguments: dict[str, Any], blocks: int
) -> None:
    network, batch = make_network(TASK, frozen=4, **arguments), make_batch(TASK)
    assert network.cached_blocks == blocks
    network.encoder.given_blocks = blocks
    with torch.no_grad():
        tokens = network.encoder.tokens_after(batch.pixels, blocks)
        logits = network(batch.with_tokens(tokens)).logits
        torch.testing.assert_close(logits, network(batch).logits)


def test_a_task_without_features_is_fused_all_the_same() -> None:
    task = make_task(())
    network, batch = make_network(task), make_batch(task, 2)
    assert network(batch).logits.shape == (2, len(task.classes))


@pytest.mark.parametrize("arguments", [{}, {"join_at": 3, "depth": 1}])
def test_every_trainable_parameter_gets_a_gradient(arguments: dict[str, Any]) -> None:
    network = make_network(TASK, missing="token", **arguments).train()
    network(make_batch(TASK)).logits.square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "`depth` to be at least 1"),
        ({"depth": -1, "join_at": 0}, "`depth` to be at least 1"),
        ({"join_at": 6}, "`join_at` to be one of the encoder's blocks 0 to 5, but got 6"),
        ({"join_at": -1}, "`join_at` to be one of"),
        ({"num_heads": 5}, "`num_heads` to divide the token width 64, but got 5"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    encoder = make_encoder("test_vit", image_size=32)
    with pytest.raises(ValueError, match=message):
        AttentionFusion(encoder, TASK, **arguments)


# The baselines see what they may see, and no more.


@pytest.mark.parametrize(
    ("arm", "sees"),
    [
        (AttentionFusion, {"image", "metadata", "missing"}),
        (ImageOnly, {"image"}),
        (MetadataOnly, {"metadata", "missing"}),
        (MissingPattern, {"missing"}),
    ],
)
def test_an_arm_sees_its_inputs_alone(arm: type[LesionNetwork], sees: set[str]) -> None:
    network, batch = make_network(TASK, fusion=arm), make_batch(TASK)
    others = {
        "image": Pixels(255 - batch.pixels),
        "metadata": batch.metadata.flip(1),
        "missing": ~batch.missing,
    }
    with torch.no_grad():
        logits = network(batch).logits
        for name, other in others.items():
            changed = network(batch._replace(**{name: other})).logits
            assert torch.equal(changed, logits) == (name not in sees), name
    assert logits.shape == (8, len(TASK.classes))
    assert (network.encoder is None) == ("image" not in sees)


def test_training_takes_the_short_way_to_the_class_row() -> None:
    torch.manual_seed(0)
    attention = JointAttention(24, num_heads=3).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    tokens = torch.randn(4, 7, 24, dtype=torch.float64, requires_grad=True)
    ignored = torch.rand(4, 7) < 0.3
    ignored[:, 0] = False
    inputs = [tokens, *attention.parameters()]
    results = []
    for training in (False, True):
        attended = attention.train(training)(tokens, ignored, class_only=True)
        results.append((attended, *torch.autograd.grad(attended.sin().sum(), inputs)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-11)
