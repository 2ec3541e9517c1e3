"""Pooling of image tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder


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

    def forward(self, tokens: Tensor) -> Tensor:
        """Pooled vectors (B, S, D) of tokens (B, num_prefix + P, D)."""
        mean = tokens[:, self._num_prefix :].mean(dim=1, keepdim=True)
        return mean if self.count == 1 else torch.cat([tokens[:, :1], mean], dim=1)
