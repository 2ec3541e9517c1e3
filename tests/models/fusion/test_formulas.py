"""Each arm's formula, written out case by case and channel by channel in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task
from vitatt.models.fusion.bottleneck import BottleneckFusion
from vitatt.models.fusion.concatenation import Concatenation
from vitatt.models.fusion.cross_attention import CrossAttention
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.metablock import MetaBlock
from vitatt.models.fusion.metanet import MetaNet
from vitatt.models.fusion.mutual_attention import MutualAttention
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

TASK = make_task(image_size=64)
State = dict[str, Tensor]


class Case:
    """What a formula is given of one case.

    Attributes:
        state: The network's weights.
        tokens: Of the image, (N, D).
        prefix: Tokens before the patches.
        attends: Whether the class token is one of its own.
        vector: Soft one-hots, uniform where missing, and the mask.
        features: Metadata tokens that were observed, (M, D).
        heads: Attention heads.
    """

    def __init__(self, network: LesionNetwork, batch: LesionBatch, number: int) -> None:
        one = batch.cases([number])
        self.state = network.state_dict()
        self.tokens = network.encoder(one.image)[0]
        self.prefix = network.encoder.num_prefix
        self.attends = network.encoder.attends
        self.heads = network.encoder.num_heads
        missing = one.missing[0].tolist()
        blocks = one.metadata[0].split(list(CARDINALITIES))
        known = [
            torch.full_like(block, 1 / len(block)) if gone else block
            for block, gone in zip(blocks, missing, strict=True)
        ]
        marks = torch.tensor([float(gone) for gone in missing], dtype=torch.float64)
        self.vector = torch.cat([*known, marks])
        self.features = self.tokens.new_zeros(0, self.tokens.shape[1])
        if hasattr(network, "metadata_encoder"):
            found, hidden = network.metadata_encoder(one.metadata, one.missing)
            self.features = found[0][~hidden[0]]

    def linear(self, name: str, x: Tensor) -> Tensor:
        out = self.state[f"{name}.weight"] @ x
        return out + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else out

    def norm(self, name: str, x: Tensor) -> Tensor:
        spread = (x - x.mean()).square().mean()
        scaled = (x - x.mean()) / (spread + 1e-5).sqrt()
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def pooled(self, tokens: list[Tensor]) -> list[Tensor]:
        patches = tokens[self.prefix :]
        mean = sum(patches, torch.zeros_like(patches[0])) / len(patches)
        return [tokens[0], mean] if self.attends else [mean]

    def mlp(self, name: str, x: Tensor) -> Tensor:
        hidden = self.linear(f"{name}.fc1", x)
        gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        return self.linear(f"{name}.fc2", gelu)

    def attention(self, name: str, asking: Tensor, asked: list[Tensor]) -> Tensor:
        """One token asks some, head by head."""
        return self.linear(
            f"{name}.proj",
            self.gathered(
                self.linear(f"{name}.query", asking),
                [self.linear(f"{name}.key", x) for x in asked],
                [self.linear(f"{name}.value", x) for x in asked],
            ),
        )

    def gathered(self, query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
        width = len(query) // self.heads
        parts = []
        for head in range(self.heads):
            own = slice(head * width, (head + 1) * width)
            scores = [float(query[own] @ key[own]) / math.sqrt(width) for key in keys]
            powers = [math.exp(score - max(scores)) for score in scores]
            shares = [power / sum(powers) for power in powers]
            parts.append(sum(s * v[own] for s, v in zip(shares, values, strict=True)))
        return torch.cat(parts)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def concatenation(case: Case) -> Tensor:
    hidden = case.linear("of_metadata.0", case.vector)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return torch.cat([case.norm("norm", case.tokens[0]), gelu])


def metablock(case: Case) -> Tensor:
    def normed(name: str) -> Tensor:
        x = case.linear(name, case.vector)
        mean, var = (case.state[f"{name}_norm.running_{key}"] for key in ("mean", "var"))
        weight, bias = (case.state[f"{name}_norm.{key}"] for key in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    scale, shift = normed("scale").tolist(), normed("shift").tolist()
    gated = [
        torch.tensor(
            [sigmoid(math.tanh(f * x) + g) for f, x, g in zip(scale, token, shift, strict=True)],
            dtype=torch.float64,
        )
        for token in case.tokens.tolist()
    ]
    return case.norm("norm", torch.cat(case.pooled(gated)))


def metanet(case: Case) -> Tensor:
    hidden = case.linear("gate.0", case.vector).clamp(min=0)
    gate = [sigmoid(float(x)) for x in case.linear("gate.2", hidden)]
    gated = [
        torch.tensor([g * x for g, x in zip(gate, token, strict=True)], dtype=torch.float64)
        for token in case.tokens.tolist()  # before the pooling, as in the paper
    ]
    return case.norm("norm", torch.cat(case.pooled(gated)))


def film(case: Case) -> Tensor:
    seen = torch.cat([case.pooled(list(case.tokens))[-1], case.vector])
    hidden = case.linear("scale_and_shift.0", seen).clamp(min=0)
    both = case.linear("scale_and_shift.2", hidden).tolist()
    count = case.tokens.shape[1]
    changed = [
        torch.tensor(
            [max(0.0, (1 + both[c]) * token[c] + both[count + c]) for c in range(count)],
            dtype=torch.float64,
        )
        for token in case.tokens.tolist()
    ]
    return case.norm("norm", torch.cat(case.pooled(changed)))


def mean_of(tokens: list[Tensor], like: Tensor) -> Tensor:
    return sum(tokens, torch.zeros_like(like)) / max(1, len(tokens))


def cross_attention(case: Case) -> Tensor:
    asking = list(case.features)
    for n in range(2):
        after = []
        for token in asking:
            x = token + case.attention(
                f"blocks.{n}.attn", case.norm(f"blocks.{n}.norm1", token), list(case.tokens)
            )
            after.append(x + case.mlp(f"blocks.{n}.mlp", case.norm(f"blocks.{n}.norm2", x)))
        asking = after
    told = mean_of(asking, case.tokens[0])
    return case.norm("norm", torch.cat([case.tokens[0], told]))


def mutual_attention(case: Case) -> Tensor:
    image = list(case.tokens)
    normed = [case.norm("metadata_norm", token) for token in case.features]
    told = [
        token + case.attention("metadata_asks", asking, image)
        for token, asking in zip(case.features, normed, strict=True)
    ]
    width = case.tokens.shape[1]
    if normed:
        both = [case.linear("image_asks.key_value", token) for token in normed]
        keys, values = [x[:width] for x in both], [x[width:] for x in both]
        image = [
            token
            + case.linear(
                "image_asks.proj",
                case.gathered(case.linear("image_asks.query", token), keys, values),
            )
            for token in image
        ]
    parts = [*case.pooled(image), mean_of(told, case.tokens[0])]
    return case.norm("norm", torch.cat(parts))


def bottleneck(case: Case) -> Tensor:
    streams = {
        "image_stream": (case.tokens[0], list(case.tokens[case.prefix :])),
        "metadata_stream": (case.state["class_embedding"][0], list(case.features)),
    }
    shared = list(case.state["bottleneck_embedding"])
    for n in range(2):
        made = {}
        for name, (of_class, others) in streams.items():
            layer = f"{name}.{n}"
            few = [of_class, *shared]
            normed = [case.norm(f"{layer}.norm1", token) for token in few]
            after = []
            for token, asking in zip(few, normed, strict=True):
                x = token + case.attention(f"{layer}.attn", asking, [*normed, *others])
                after.append(x + case.mlp(f"{layer}.mlp", case.norm(f"{layer}.norm2", x)))
            made[name] = after
            streams[name] = (after[0], others)
        pairs = zip(made["image_stream"][1:], made["metadata_stream"][1:], strict=True)
        shared = [(one + other) / 2 for one, other in pairs]
    of_classes = [of_class for of_class, _ in streams.values()]
    return case.norm("norm", (of_classes[0] + of_classes[1]) / 2)


FORMULAS: list[tuple[Any, dict[str, Any], Callable[[Case], Tensor]]] = [
    (Concatenation, {}, concatenation),
    (MetaBlock, {}, metablock),
    (MetaNet, {"hidden": 9}, metanet),
    (FiLM, {}, film),
    (CrossAttention, {"depth": 2}, cross_attention),
    (MutualAttention, {}, mutual_attention),
    (BottleneckFusion, {"bottlenecks": 3}, bottleneck),
]


@pytest.mark.parametrize("encoder", ["test_vit", "vitatt_test_registers", "test_efficientnet"])
@pytest.mark.parametrize(
    ("arm", "settings", "formula"), FORMULAS, ids=[arm.__name__ for arm, _, _ in FORMULAS]
)
@torch.no_grad()
def test_agrees_with_its_formula(
    arm: Any, settings: dict[str, Any], formula: Callable[[Case], Tensor], encoder: str
) -> None:
    network = make_network(TASK, encoder, arm, **settings).double()
    batch = make_batch(TASK, 3, dtype=torch.float64)
    output = network(batch)
    for number in range(3):  # the first case lacks every feature
        embedding = formula(Case(network, batch, number))
        torch.testing.assert_close(output.embedding[number], embedding, rtol=1e-9, atol=1e-9)
        logits = network.head.weight @ embedding + network.head.bias
        logits = logits - logits.mean()
        torch.testing.assert_close(output.logits[number], logits, rtol=1e-8, atol=1e-9)
