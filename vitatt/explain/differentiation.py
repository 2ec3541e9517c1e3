"""A network as a function of its inputs: its weights are constants, and it is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.func import functional_call

from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch, LesionOutput

Function = Callable[[LesionBatch], LesionOutput]


@contextmanager
def differentiable(network: LesionNetwork) -> Iterator[Function]:
    """A network in evaluation mode that can be differentiated by its inputs and activations.

    Inside, gradients are enabled, also within `torch.no_grad` and `torch.inference_mode`; weights
    take part as constants and keep their `.grad`. Compiled networks run eagerly. Afterwards each
    module is in the mode it was in.
    """
    modes = {module: module.training for module in network.modules()}
    constants = {name: value.detach() for name, value in network.named_parameters()}
    network.eval()

    def function(batch: LesionBatch) -> LesionOutput:
        return functional_call(network, constants, (batch,))

    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.compiler.set_stance("force_eager"),
        ):
            yield function
    finally:
        for module, training in modes.items():
            module.training = training


def own_inputs(batch: LesionBatch) -> LesionBatch:
    """The batch with tensors of its own: one made in inference mode cannot take part in a graph."""
    image, metadata, missing = (part.clone() for part in batch[:3])
    return batch._replace(image=image, metadata=metadata, missing=missing)


@contextmanager
def full_precision(like: Tensor) -> Iterator[None]:
    """No autocast on a tensor's device and no TF32: relevance sums up many small products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(like.device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
