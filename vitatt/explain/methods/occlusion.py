"""Occlusion: the drop of the logit if a part of the input is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from vitatt.explain.attention.differentiation import differentiable
from vitatt.explain.methods.perturb import perturb
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

WINDOWS = 8
"""Largest number of windows along each side of the image; each costs a forward pass."""


def occlusion(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Relevance of each patch and feature for K classes.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
    section 4.2, with the logit. Patches are hidden in at most 8 x 8 adjacent windows, and get the
    drop of their window; features are hidden one by one.

    Args:
        network: Any network with an image encoder.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K).
    """
    assert network.encoder is not None
    rows, columns = network.grid_size
    size = len(batch.target)
    no_patch = torch.zeros(size, rows, columns, dtype=torch.bool, device=batch.metadata.device)
    no_feature = torch.zeros_like(batch.missing)
    height, width = -(-rows // WINDOWS), -(-columns // WINDOWS)
    with differentiable(network) as function, torch.no_grad():
        logits = function(batch).logits
        chosen = logits.gather(1, target)

        def drop(patches: Tensor, features: Tensor) -> Tensor:
            without = function(perturb(network, batch, patches, features)).logits
            return (chosen - without.gather(1, target)).clamp(min=0)

        relevance = chosen.new_zeros(size, target.shape[1], rows, columns)
        passes = 1
        for top in range(0, rows, height):
            for left in range(0, columns, width):
                window = (..., slice(top, top + height), slice(left, left + width))
                patches = no_patch.clone()
                patches[window] = True
                relevance[window] = drop(patches, no_feature)[..., None, None]
                passes += 1
        of_features = chosen.new_zeros(*target.shape, len(network.cardinalities))
        for number in range(len(network.cardinalities)):
            features = no_feature.clone()
            features[:, number] = True
            of_features[..., number] = drop(no_patch, features)
            passes += 1
    return Relevance(relevance, of_features, logits, Cost(passes, 0, 0.0))
