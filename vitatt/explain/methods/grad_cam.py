"""Grad-CAM on the last map of patches that the logits depend on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.differentiation import differentiable, own_inputs
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch


def grad_cam(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Relevance of each patch and feature for K classes.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks", ICCV 2017, eq. 1
    and 2: the channels' mean gradients over the map weight its activations, and what is positive
    counts. The patch tokens entering the last attention layer are taken as the map (what that layer
    gives out at the patches, no logit reads); of a CNN, the positions of its last map. Metadata
    tokens, which are no map, are each weighted by their own gradient; in a network without such
    tokens in that layer, the columns of each feature are.

    Args:
        network: Any network with an image encoder.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K).
    """
    layer, layout = network.map_layer
    noted: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        # The graph begins here: nothing below the last layer is differentiated.
        noted.append(inputs[0].detach().requires_grad_())
        return (noted[0], *inputs[1:])

    with differentiable(network) as function:
        own = own_inputs(batch)
        metadata = own.metadata.requires_grad_()
        hook = layer.register_forward_pre_hook(note)
        try:
            logits = function(own).logits
        finally:
            hook.remove()
        (tokens,) = noted
        sums = [logits.gather(1, classes.unsqueeze(1)).sum() for classes in target.unbind(1)]
        gradients = [
            torch.autograd.grad(
                value, (tokens, metadata), retain_graph=number < len(sums), allow_unused=True
            )
            for number, value in enumerate(sums, start=1)
        ]
    rows = [_weighted(tokens.detach(), gradient, list(layout)) for gradient, _ in gradients]
    if network.cardinalities and not layout.metadata:
        rows = [
            row._replace(metadata=_of_columns(network, batch, gradient))
            for row, (_, gradient) in zip(rows, gradients, strict=True)
        ]
    # The way back is through the last layer only: a small part of a pass.
    return Relevance.of_rows(rows, network, logits, Cost(1, 0, 0.0))


def _weighted(tokens: Tensor, gradient: Tensor, sizes: list[int]) -> ClassRow:
    _, patches, _ = gradient.split(sizes, dim=1)
    own_weight = gradient.clone()
    own_weight[:, sizes[0] : sizes[0] + sizes[1]] = patches.mean(dim=1, keepdim=True)
    relevance = (own_weight * tokens).sum(-1).clamp(min=0)
    return ClassRow(*relevance.split(sizes, dim=1))


def _of_columns(network: LesionNetwork, batch: LesionBatch, gradient: Tensor) -> Tensor:
    """Relevance (B, F) of features that enter as columns, of which a missing one says nothing."""
    blocks = (batch.metadata * gradient).split(list(network.cardinalities), dim=1)
    relevance = torch.stack([block.sum(1) for block in blocks], dim=1)
    return relevance.clamp(min=0).masked_fill(batch.missing, 0)
