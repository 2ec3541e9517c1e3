from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from tests.tasks import make_batch, make_network, make_task
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.optimizer import make_optimizer, warmup_cosine

TASK = make_task()
RATES: dict[str, float] = {
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-5,
    "layer_decay": 1.0,
    "weight_decay": 0.05,
}


def groups_by_name(network: LesionNetwork, **rates: float) -> dict[str, dict[str, Any]]:
    """The parameter group of each parameter; fails if one is in several."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found: dict[str, dict[str, Any]] = {}
    for group in make_optimizer(network, **{**RATES, **rates}).param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in found
            found[name] = group
    return found


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"missing": "token", "join_at": 2},
        {"encoder": "vitatt_test_registers"},
        {"fusion": ImageOnly},
        {"fusion": MetadataOnly},
    ],
)
def test_every_trainable_parameter_learns_once(arguments: dict[str, Any], frozen: bool) -> None:
    network = make_network(TASK, frozen=frozen, **arguments)
    groups = groups_by_name(network)
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    assert groups.keys() == trainable
    assert any(name.startswith("encoder.") for name in trainable) == (
        not frozen and network.encoder is not None
    )


def test_each_part_has_its_learning_rate() -> None:
    for name, group in groups_by_name(make_network(TASK)).items():
        assert group["lr"] == (1e-5 if name.startswith("encoder.") else 1e-3), name


@pytest.mark.parametrize("encoder", ["test_vit", "vitatt_test_registers"])
def test_lower_blocks_learn_more_slowly(encoder: str) -> None:
    network = make_network(TASK, encoder)
    count = network.encoder.num_blocks
    groups = groups_by_name(network, layer_decay=0.5)
    for name, group in groups.items():
        if not name.startswith("encoder.vit."):
            assert group["lr"] == 1e-3, name
            continue
        own = name.removeprefix("encoder.vit.")
        if own.startswith("blocks."):
            block = int(own.split(".")[1]) + 1
        else:
            block = count if own.startswith("norm.") else 0
        assert group["lr"] == pytest.approx(1e-5 * 0.5 ** (count - block)), name


@pytest.mark.parametrize("encoder", ["test_vit", "vitatt_test_registers"])
def test_biases_norms_and_embeddings_are_not_decayed(encoder: str) -> None:
    network = make_network(TASK, encoder, missing="token")
    weights = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    } | {"metadata_encoder.weight"}
    for name, group in groups_by_name(network).items():
        assert group["weight_decay"] == (0.05 if name in weights else 0.0), name


def test_weight_decay_is_decoupled() -> None:
    network = make_network(TASK, fusion=MetadataOnly)
    before = network.head.weight.detach().clone()
    optimizer = make_optimizer(network, **RATES)
    (network(make_batch(TASK)).logits.sum() * 0).backward()
    optimizer.step()
    torch.testing.assert_close(network.head.weight.detach(), before * (1 - 1e-3 * 0.05))


def rates(optimizer: Optimizer, total: int, warmup: int) -> list[float]:
    scheduler = warmup_cosine(optimizer, total_steps=total, warmup_steps=warmup)
    seen = []
    for _ in range(total + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(("total", "warmup"), [(20, 5), (20, 0), (1, 0), (6, 6)])
def test_learning_rates_rise_linearly_then_follow_a_cosine(total: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    seen = rates(optimizer, total, warmup)
    for step in range(warmup):
        assert seen[step] == pytest.approx(2 * (step + 1) / warmup)
    for step in range(warmup, total):
        progress = (step - warmup) / (total - warmup)
        assert seen[step] == pytest.approx(1 + math.cos(math.pi * progress))
    assert all(0 < rate <= 2 for rate in seen[:total])
    if warmup < total:
        assert seen[total] == pytest.approx(0, abs=1e-12)
