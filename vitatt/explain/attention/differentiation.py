"""Differentiation of a network by its inputs and activations, with constant weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, LesionOutput

Function = Callable[[LesionBatch], LesionOutput]


@contextmanager
def differentiable(network: LesionNetwork) -> Iterator[Function]:
    """A network in evaluation mode that can be differentiated by its inputs and activations.

    Inside, gradients are enabled, also within `torch.no_grad` and `torch.inference_mode`; weights
    are constants and keep their `.grad`; compiled networks run eagerly. On leaving, the mode of all
    modules and `requires_grad` of all weights are restored.
    """
    training = [module for module in network.modules() if module.training]
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    try:
        for module in training:
            module.training = False
        for weight in weights:
            weight.requires_grad_(False)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.compiler.set_stance("force_eager"),
        ):
            yield network
    finally:
        for module in training:
            module.training = True
        for weight in weights:
            weight.requires_grad_(True)


def own_inputs(batch: LesionBatch) -> LesionBatch:
    """The batch with copied tensors: those made in inference mode cannot be differentiated."""
    return batch._replace(
        image=batch.image._replace(values=batch.image.values.clone()),
        metadata=batch.metadata.clone(),
        missing=batch.missing.clone(),
    )


@contextmanager
def full_precision(like: Tensor) -> Iterator[None]:
    """No autocast on a tensor's device and no TF32, because relevance sums many small products."""
    before = torch.get_float32_matmul_precision()
    if before == "highest" and not torch.is_autocast_enabled(like.device.type):
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(like.device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
