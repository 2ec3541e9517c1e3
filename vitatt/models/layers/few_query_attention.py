"""Attention of a few query tokens to many context tokens, without keys and values of the many."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.types import UsageError


def require_whole_heads(dim: int, num_heads: int) -> None:
    """Check that tokens of width `dim` can be divided among heads.

    Raises:
        UsageError: If they cannot.
    """
    if num_heads < 1 or dim % num_heads:
        raise UsageError(
            f"Expected argument `num_heads` to divide the token width {dim}, but got {num_heads}."
        )


def attend_unprojected(
    query: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    context: Tensor,
    key_padding_mask: Tensor | None,
) -> Tensor:
    """Output of each head's attention, (B, Q, heads, d).

    Key and value projections are applied to the queries and to the result instead of the context:
    ``q . (W_k x_j) = (W_k^T q) . x_j`` and ``sum_j a_j W_v x_j = W_v sum_j a_j x_j``. With Q
    queries, H heads and N tokens of width D this takes Q H N D multiplications instead of D D N,
    which is fewer if Q H is below D.

    Args:
        query: Projected queries, (B, Q, heads, d).
        key_weight: W_k, (heads, d, D).
        value_weight: W_v, (heads, d, D).
        context: Tokens x, (B, N, D).
        key_padding_mask: True where a context token is ignored, (B, N) bool; None for nowhere.
    """
    count, num_heads, width = query.shape[1:]
    projected = torch.einsum("bqhe,hed->bqhd", query, key_weight)
    shared = context[:, None]  # keys and values of all heads, whose queries form one sequence
    attended = F.scaled_dot_product_attention(
        projected.flatten(1, 2)[:, None],
        shared,
        shared,
        attn_mask=None if key_padding_mask is None else ~key_padding_mask[:, None, None],
        scale=width**-0.5,
    )
    attended = attended[:, 0].unflatten(1, (count, num_heads))
    return torch.einsum("bqhd,hed->bqhe", attended, value_weight)


class FewQueryAttention(nn.Module):
    """Multi-head attention for few queries, see `attend_unprojected`.

    Keys and values have no bias: one of the keys would shift all scores alike, and one of the
    values would shift the output, which has its own.

    Args:
        dim: Width D of the tokens.
        num_heads: Heads; must divide `dim`.

    Raises:
        UsageError: If it does not.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        require_whole_heads(dim, num_heads)
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, query: Tensor, context: Tensor, key_padding_mask: Tensor | None = None
    ) -> Tensor:
        """Attended query tokens, (B, Q, D).

        Args:
            query: (B, Q, D).
            context: (B, N, D).
            key_padding_mask: True where a context token is ignored, (B, N) bool; by default
                nowhere.
        """
        key_weight, value_weight = (
            layer.weight.unflatten(0, (self.num_heads, -1)) for layer in (self.key, self.value)
        )
        by_head = self.query(query).unflatten(2, (self.num_heads, -1))
        attended = attend_unprojected(by_head, key_weight, value_weight, context, key_padding_mask)
        return self.proj(attended.flatten(2))
