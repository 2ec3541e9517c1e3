"""Cases with hidden patches and features."""

from __future__ import annotations

import torch
from torch import Tensor

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch


def perturb(
    network: LesionNetwork, batch: LesionBatch, patches: Tensor, features: Tensor
) -> LesionBatch:
    """The batch with some patches and features hidden.

    A hidden patch has the mean colour of the encoder's pretraining images, which is zero after
    normalisation.

    Args:
        network: Has the mean colour, and the cardinalities of the features.
        batch: Cases, as pixels.
        patches: True where a patch is hidden, (B, h, w) bool.
        features: True where a feature is hidden, (B, F) bool.
    """
    pixels = batch.pixels
    pixels = torch.where(pixel_mask(patches, pixels), fill(network, pixels), pixels)
    return perturb_features(network, batch.with_pixels(pixels), features)


def perturb_features(network: LesionNetwork, batch: LesionBatch, features: Tensor) -> LesionBatch:
    """The batch with some features (B, F) hidden: missing, with uniform soft one-hot vectors."""
    if not network.cardinalities:
        return batch
    counts = torch.tensor(network.cardinalities, device=features.device)
    uniform = (1 / counts.to(batch.metadata.dtype)).repeat_interleave(counts)
    hidden = features.repeat_interleave(counts, dim=1)
    return batch._replace(
        metadata=torch.where(hidden, uniform, batch.metadata), missing=batch.missing | features
    )


def pixel_mask(patches: Tensor, image: Tensor) -> Tensor:
    """A mask of patches (B, h, w) as one of pixels (B, 1, H, W)."""
    rows, columns = (
        size // count for size, count in zip(image.shape[-2:], patches.shape[-2:], strict=True)
    )
    pixels = patches.repeat_interleave(rows, dim=-2).repeat_interleave(columns, dim=-1)
    return pixels.unsqueeze(1)


def fill(network: LesionNetwork, image: Tensor) -> Tensor:
    """The colour of a hidden pixel, (1, 3, 1, 1), in the image's type."""
    assert network.encoder is not None
    mean = network.encoder.mean
    return (mean if image.is_floating_point() else mean.round()).to(image.dtype)
