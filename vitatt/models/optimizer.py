"""Optimizer and learning rate schedule."""

from __future__ import annotations

import math
from typing import Any

from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vitatt.models.fusion.network import LesionNetwork


def make_optimizer(
    network: LesionNetwork,
    *,
    learning_rate: float,
    encoder_learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    fused: bool = True,
) -> Optimizer:
    """Adam with a learning rate for each part and decoupled weight decay.

    Biases, norms and embeddings are not decayed. Block l of L encoder blocks learns with
    ``encoder_learning_rate * layer_decay^(L - l)`` (Bao et al., BEiT, ICLR 2022).

    Args:
        network: The network to train.
        learning_rate: Learning rate of all parameters outside the encoder.
        encoder_learning_rate: Learning rate of the encoder's last block.
        layer_decay: Factor of the learning rate from one encoder block to the one below.
        weight_decay: Share by which a step of learning rate 1 reduces a weight.
        fused: Use PyTorch's fused step, which Lightning cannot combine with gradient clipping.
    """
    groups: list[dict[str, Any]] = []
    encoder = network.encoder
    if encoder is not None and not encoder.frozen:
        for group in param_groups_layer_decay(
            encoder.backbone,
            weight_decay,
            no_weight_decay_list=encoder.not_decayed,
            layer_decay=layer_decay,
        ):
            scale = group.pop("lr_scale")
            group.pop("param_names", None)
            groups.append({**group, "lr": encoder_learning_rate * scale})
    own = nn.ModuleDict({n: m for n, m in network.named_children() if n != "encoder"})
    own_parameters = nn.ParameterDict(dict(network.named_parameters(recurse=False)))
    for part in (own, own_parameters):
        for group in param_groups_weight_decay(
            part, weight_decay, no_weight_decay_list=("*embedding", "*missing_token")
        ):
            groups.append({**group, "lr": learning_rate})
    groups = [group for group in groups if group["params"]]
    return Adam(groups, decoupled_weight_decay=True, fused=fused)


def warmup_cosine(optimizer: Optimizer, *, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Linear warm-up from 0, then half a cosine down to 0."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)
