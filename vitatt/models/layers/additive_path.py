"""Evidence of single tokens, added up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdditivePath(nn.Module):
    """Class logits that are a sum of contributions, one of each token by itself.

    Attention averages tokens, so that each of many metadata features has little weight; here their
    evidence adds up, as in logistic regression. Class token c, P patch tokens p and the observed
    metadata tokens m contribute ``b + U c + V mean(p) + W sum(m)``, all tokens normalised.

    It is computed as attention with equal scores, whose output is multiplied by the number of
    tokens: explanations that read attention find the contributions as they find those of any layer.

    Args:
        dim: Width D of the tokens.
        num_classes: Number of classes C.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.weight = nn.Parameter(torch.zeros(3, num_classes, dim))  # of class, patch, metadata
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(
        self,
        tokens: Tensor,
        key_padding_mask: Tensor,
        num_patches: int,
        absent: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, C).

        Args:
            tokens: Class token, patch tokens, metadata tokens, (B, N, D).
            key_padding_mask: True where a token contributes nothing, (B, N) bool.
            num_patches: P.
            absent: True for patches that are not there, (B, P) bool; None for none.
        """
        contributions = self.contributions(tokens, num_patches, absent)
        observed = ~key_padding_mask
        count = observed.sum(1, keepdim=True).to(tokens.dtype)
        value = contributions[:, None]
        query = torch.zeros_like(value[:, :, :1])
        mean = F.scaled_dot_product_attention(
            query, torch.zeros_like(value), value, attn_mask=observed[:, None, None]
        )
        return mean[:, 0, 0] * count + self.bias

    def contributions(
        self, tokens: Tensor, num_patches: int, absent: Tensor | None = None
    ) -> Tensor:
        """What each token adds to each logit, without the bias, (B, N, C); see `forward`."""
        normed = self.norm(tokens)
        parts = normed.split([1, num_patches, tokens.shape[1] - 1 - num_patches], dim=1)
        of_patch: float | Tensor = 1 / num_patches
        if absent is not None:
            of_patch = 1 / (~absent).sum(1).to(tokens.dtype)[:, None, None]
        scales = (1.0, of_patch, 1.0)
        return torch.cat(
            [
                scale * F.linear(part, weight)
                for part, weight, scale in zip(parts, self.weight, scales, strict=True)
            ],
            dim=1,
        )
