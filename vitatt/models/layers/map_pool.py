"""Pooling of image tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder


def mean_patch(patches: Tensor, absent: Tensor | None) -> Tensor:
    """Mean patch token (B, 1, D) of (B, P, D) without absent ones, (B, P) bool or None."""
    if absent is None:
        return patches.mean(dim=1, keepdim=True)
    present = (~absent).unsqueeze(2).to(patches.dtype)
    return (patches * present).sum(1, keepdim=True) / present.sum(1, keepdim=True)


class MapPool(nn.Module):
    """The class token and the mean patch token; the mean only if it is the class token.

    Args:
        encoder: The encoder of the tokens.

    Attributes:
        count: Number of vectors S: 2, or 1 if the class token is the mean patch token.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.count = 1 if encoder.class_token == "mean" else 2
        self._num_prefix = encoder.num_prefix

    def forward(self, tokens: Tensor, absent: Tensor | None = None) -> Tensor:
        """Pooled vectors (B, S, D).

        Args:
            tokens: (B, num_prefix + P, D).
            absent: True for patches that are left out of the mean, (B, P) bool; None for none.
        """
        mean = mean_patch(tokens[:, self._num_prefix :], absent)
        return mean if self.count == 1 else torch.cat([tokens[:, :1], mean], dim=1)
