"""Checks that weights are those of a network, and finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitatt.types import UsageError


def require_fitting(weights: Mapping[str, Any], network: nn.Module, source: str) -> None:
    """Refuse weights that are not those of a network, or not finite.

    Args:
        weights: By name.
        network: The network.
        source: Of the weights, to begin messages with.

    Raises:
        UsageError: If any are absent, unknown, of another shape or not finite; the message names
            the first.
    """
    own = network.state_dict()
    differing = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    for found, names in (
        ("lacks", [name for name in own if name not in weights]),
        ("has unknown", [name for name in weights if name not in own]),
        ("has of another shape", differing),
    ):
        if names:
            raise UsageError(
                f"{source} does not fit its model: it {found} {len(names)} of {len(own)} weights, "
                f"the first being {names[0]}. It was changed, or written by another version of "
                "vitatt or of timm."
            )
    require_finite(weights, source)


def require_finite(weights: Mapping[str, Any], source: str) -> None:
    """Refuse weights that are not finite: no prediction with them would be.

    Args:
        weights: By name.
        source: Of the weights, to begin messages with.

    Raises:
        UsageError: If there are any; the message names the first.
    """
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not is_finite(value):
            raise UsageError(
                f"{source} has weights that are no finite numbers, the first being {name}: the "
                "training diverged. Lower `model.learning_rate`, and use a checkpoint from before."
            )


def is_finite(value: Tensor) -> bool:
    """Whether all numbers are finite.

    Their sum is, unless it overflows: one pass and no mask. Only then is each number looked at.
    """
    value = value.detach()
    total = value.sum(dtype=torch.float64 if value.device.type == "cpu" else torch.float32)
    return bool(total.isfinite()) or bool(value.isfinite().all())
