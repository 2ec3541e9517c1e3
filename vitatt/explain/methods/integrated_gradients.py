"""Integrated gradients, by Captum."""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from vitatt.explain.attention.differentiation import differentiable, own_inputs
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, Pixels

STEPS = 20


def integrated_gradients(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Relevance of each patch and feature for K classes.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", ICML 2017, eq. 1, by
    Captum with 20 Gauss-Legendre steps. The baseline is an image of the encoder's mean colour and
    uniform soft one-hot vectors. Attributions are summed over the pixels of a patch and the columns
    of a feature, and negative sums are set to 0.

    Args:
        network: Any network with an image encoder.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K).
    """
    assert network.encoder is not None
    with differentiable(network) as function:
        own = own_inputs(batch)
        pixels = own.pixels.to(own.metadata.dtype)
        names_features = bool(network.cardinalities)

        def logits_of(*inputs: Tensor) -> Tensor:
            # Captum stacks its steps along the batch.
            repeats = len(inputs[0]) // len(pixels)
            metadata = inputs[1] if names_features else own.metadata.repeat(repeats, 1)
            absent = own.image.absent
            image = Pixels(inputs[0], None if absent is None else absent.repeat(repeats, 1))
            missing = own.missing.repeat(repeats, 1)
            return function(own._replace(image=image, metadata=metadata, missing=missing)).logits

        blank = network.encoder.mean.to(pixels.dtype).expand_as(pixels)
        inputs: tuple[Tensor, ...] = (pixels,)
        baselines: tuple[Tensor, ...] = (blank,)
        if names_features:
            inputs, baselines = (pixels, own.metadata), (blank, _uniform(network, own.metadata))
        method = IntegratedGradients(logits_of)
        found = []
        for classes in target.unbind(1):
            attributions = method.attribute(
                inputs,
                baselines=baselines,
                target=classes,
                n_steps=STEPS,
                internal_batch_size=len(pixels),
            )
            found.append(_by_token(network, attributions, batch))
        with torch.no_grad():
            logits = function(own).logits
    patches, features = (torch.stack(parts, dim=1) for parts in zip(*found, strict=True))
    passes = 1 + STEPS * target.shape[1]
    return Relevance(patches, features, logits, Cost(passes, passes - 1, 0.0))


def _uniform(network: LesionNetwork, metadata: Tensor) -> Tensor:
    shares = [metadata.new_full((size,), 1 / size) for size in network.cardinalities]
    return torch.cat(shares).expand_as(metadata)


def _by_token(
    network: LesionNetwork, attributions: tuple[Tensor, ...], batch: LesionBatch
) -> tuple[Tensor, Tensor]:
    assert network.encoder is not None
    rows, columns = network.grid_size
    of_pixels = attributions[0].detach().sum(1)
    patches = of_pixels.unflatten(2, (columns, -1)).unflatten(1, (rows, -1)).sum((2, 4))
    if len(attributions) == 1:
        features = patches.new_zeros(len(patches), 0)
    else:
        blocks = attributions[1].detach().split(list(network.cardinalities), dim=1)
        features = torch.stack([block.sum(1) for block in blocks], dim=1)
        features = features.masked_fill(batch.missing, 0)
    return patches.clamp(min=0), features.clamp(min=0)
