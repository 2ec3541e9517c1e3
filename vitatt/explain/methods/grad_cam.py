"""Grad-CAM on the patch tokens that enter the last layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.explain.attention.class_row import ClassRow, row_of_layer
from vitatt.explain.attention.differentiation import differentiable, own_inputs
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.network import LesionNetwork, TokenLayout
from vitatt.models.layers.map_pool import mean_patch
from vitatt.types import LesionBatch


def grad_cam(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Relevance of each patch and feature for K classes.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks", ICCV 2017, eq. 1
    and 2: activations of the map are weighted by the mean gradient of their channel over the map,
    and negative sums are set to 0. The map is the patch tokens that enter the last attention layer
    (its output at the patches does not affect the logits) or, with a CNN, its last map. Metadata
    tokens, which are no map, are weighted by their own gradient; if that layer has none, the soft
    one-hot columns of each feature are.

    Args:
        network: Any network with an image encoder.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K).
    """
    layer, layout = network.map_layer
    noted: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        # The graph begins here: layers below the last one are not differentiated.
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
    assert network.encoder is not None
    # If each view has a sequence of its own, the gradient of an absent one is 0.
    absent = network.encoder.absent_patches(batch.image) if layout.views == 1 else None
    rows = [_weighted(tokens.detach(), gradient, layout, absent) for gradient, _ in gradients]
    if network.cardinalities and not layout.metadata:
        rows = [
            row._replace(metadata=_of_columns(network, batch, gradient))
            for row, (_, gradient) in zip(rows, gradients, strict=True)
        ]
    # The backward pass is through the last layer only, and not counted.
    return Relevance.of_rows(rows, network, logits, Cost(1, 0, 0.0))


def _weighted(
    tokens: Tensor, gradient: Tensor, layout: TokenLayout, absent: Tensor | None
) -> ClassRow:
    prefix, patches, metadata = gradient.split(layout.sizes, dim=1)
    of_map = mean_patch(patches, absent).expand_as(patches)
    if absent is not None:
        of_map = of_map.masked_fill(absent.unsqueeze(2), 0)
    relevance = (torch.cat([prefix, of_map, metadata], dim=1) * tokens).sum(-1).clamp(min=0)
    return row_of_layer(relevance, layout)


def _of_columns(network: LesionNetwork, batch: LesionBatch, gradient: Tensor) -> Tensor:
    """Relevance (B, F) of features from their columns; 0 where a feature is missing."""
    blocks = (batch.metadata * gradient).split(list(network.cardinalities), dim=1)
    relevance = torch.stack([block.sum(1) for block in blocks], dim=1)
    return relevance.clamp(min=0).masked_fill(batch.missing, 0)
