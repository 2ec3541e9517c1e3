"""Grad-CAM on the tokens that enter the last attention layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.explain.class_row import ClassRow
from vitatt.explain.differentiation import differentiable, own_inputs
from vitatt.explain.relevance import Cost, Relevance
from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch


def grad_cam(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Relevance of each patch and feature for K classes.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks", ICCV 2017, eq. 1
    and 2: the channels' mean gradients over the map weight its activations, and what is positive
    counts. The patch tokens entering the last attention layer are taken as the map (what that layer
    gives out at the patches, no logit reads). Metadata tokens, which are no map, are each weighted
    by their own gradient.

    Args:
        network: Any network with attention.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K).
    """
    layout = network.layouts[-1]
    noted: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        # The graph begins here: nothing below the last layer is differentiated.
        noted.append(inputs[0].detach().requires_grad_())
        return (noted[0], *inputs[1:])

    with differentiable(network) as function:
        hook = network.last_layer.register_forward_pre_hook(note)
        try:
            logits = function(own_inputs(batch)).logits
        finally:
            hook.remove()
        (tokens,) = noted
        sums = [logits.gather(1, classes.unsqueeze(1)).sum() for classes in target.unbind(1)]
        gradients = [
            torch.autograd.grad(value, tokens, retain_graph=number < len(sums))[0]
            for number, value in enumerate(sums, start=1)
        ]
    rows = [_weighted(tokens.detach(), gradient, list(layout)) for gradient in gradients]
    # The way back is through the last layer only: a small part of a pass.
    return Relevance.of_rows(rows, network, logits, Cost(1, 0, 0.0))


def _weighted(tokens: Tensor, gradient: Tensor, sizes: list[int]) -> ClassRow:
    _, patches, _ = gradient.split(sizes, dim=1)
    own_weight = gradient.clone()
    own_weight[:, sizes[0] : sizes[0] + sizes[1]] = patches.mean(dim=1, keepdim=True)
    relevance = (own_weight * tokens).sum(-1).clamp(min=0)
    return ClassRow(*relevance.split(sizes, dim=1))
