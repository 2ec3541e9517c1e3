"""The mean of all positions as class token."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PrependMean(nn.Module):
    """Prepends the mean of all positions to them."""

    def forward(self, positions: Tensor) -> Tensor:
        """Tokens (B, 1 + P, D) from positions (B, P, D)."""
        return torch.cat([positions.mean(dim=1, keepdim=True), positions], dim=1)
