"""The class token's row of relevance, on its way from the last layer to the first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vitatt.explain.attention.differentiation import full_precision
from vitatt.models.fusion.network import TokenLayout


class ClassRow(NamedTuple):
    """Relevance of each token to the class token.

    Attributes:
        prefix: Of the class token, then other prefix tokens, (B, prefix).
        patches: (B, P).
        metadata: (B, M).
    """

    prefix: Tensor
    patches: Tensor
    metadata: Tensor

    @classmethod
    def start(cls, like: Tensor, layouts: list[TokenLayout]) -> ClassRow:
        """The class token's own row of the identity, in float32 at least.

        Args:
            like: Gives batch size, type and device, (B, ...).
            layouts: The sequences of all layers.
        """
        kind = torch.promote_types(like.dtype, torch.float32)
        sizes = (max(column) for column in zip(*layouts, strict=True))
        prefix, patches, metadata = (like.new_zeros(len(like), n, dtype=kind) for n in sizes)
        prefix[:, 0] = 1
        return cls(prefix, patches, metadata)

    def of(self, layout: TokenLayout) -> Tensor:
        """The entries of a layer's N tokens, (B, N)."""
        return torch.cat([part[:, :size] for part, size in zip(self, layout, strict=True)], dim=1)

    def below(self, passed: Tensor, layout: TokenLayout, *, scale: float = 1.0) -> ClassRow:
        """The row one layer further down: ``scale * (r + r Abar)``.

        A layer that has not seen some tokens (metadata below the fusion) leaves them as they are.

        Args:
            passed: ``r Abar`` of the layer, (B, N), see `passed_on`.
            layout: What the layer's N tokens are.
            scale: One half for rollout, which averages a layer with the identity.
        """
        parts = (scale * (self.of(layout) + passed)).split(list(layout), dim=1)
        return ClassRow(
            *(
                torch.cat([new, old[:, new.shape[1] :]], dim=1)
                for new, old in zip(parts, self, strict=True)
            )
        )


def passed_on(row: Tensor, by_head: Tensor) -> Tensor:
    """``r Abar``, Abar a mean over heads: what tokens pass to those they attend to, (B, N).

    Each head is multiplied by r, and the mean taken then: the same, and Abar is never formed.

    Args:
        row: r, the entries of the layer's N tokens, (B, N).
        by_head: (B, heads, Q, N), of the first Q tokens alone if the others do not ask.
    """
    heads, queries = by_head.shape[1:3]
    asking = row[:, None, :queries].expand(-1, heads, -1).flatten(1).unsqueeze(1)
    with full_precision(row):
        return (asking @ by_head.flatten(1, 2)).squeeze(1) / heads
