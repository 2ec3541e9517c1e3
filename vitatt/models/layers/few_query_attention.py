"""Attention of a few tokens to many."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.types import UsageError


class FewQueryAttention(nn.Module):
    """Multi-head attention that projects those who ask, and not the many they ask.

    Few queries let the projections change places: ``q . (W_k x_j) = (W_k^T q) . x_j`` and
    ``sum_j a_j W_v x_j = W_v sum_j a_j x_j``. With Q queries, H heads and N tokens of width D that
    takes Q H N D multiplications for D D N: less as long as Q H is below D.

    Args:
        dim: Width D of the tokens.
        num_heads: Heads; must divide `dim`.

    Raises:
        UsageError: If it does not.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise UsageError(
                f"Expected argument `num_heads` to divide the token width {dim}, but got "
                f"{num_heads}."
            )
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        # A bias of the keys would shift all scores alike; one of the values, the output.
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, asking: Tensor, asked: Tensor, attendable: Tensor | None = None) -> Tensor:
        """What each of the few gathers, (B, Q, D).

        Args:
            asking: (B, Q, D).
            asked: (B, N, D).
            attendable: True where one of these may be attended to, (B, N) bool; by default all.
        """
        num_heads, count = self.num_heads, asking.shape[1]
        keys, values = (
            layer.weight.unflatten(0, (num_heads, -1)) for layer in (self.key, self.value)
        )
        query = self.query(asking).unflatten(2, (num_heads, -1))
        sought = torch.einsum("bqhe,hed->bqhd", query, keys)
        shared = asked[:, None]  # keys and values of all heads, which stand in for the queries
        gathered = F.scaled_dot_product_attention(
            sought.flatten(1, 2)[:, None],
            shared,
            shared,
            attn_mask=None if attendable is None else attendable[:, None, None],
            scale=query.shape[-1] ** -0.5,
        )
        gathered = gathered[:, 0].unflatten(1, (count, num_heads))
        return self.proj(torch.einsum("bqhd,hed->bqhe", gathered, values).flatten(2))
