"""The class token's row of relevance, which is passed from the last layer to the first."""

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
            like: Tensor of the batch size, type and device, (B, ...).
            layouts: Layouts of all layers.
        """
        kind = torch.promote_types(like.dtype, torch.float32)
        whole = [(layout.offset + layout.prefix, *layout[1:]) for layout in layouts]
        sizes = (max(column) for column in zip(*whole, strict=True))
        prefix, patches, metadata = (like.new_zeros(len(like), n, dtype=kind) for n in sizes)
        prefix[:, 0] = 1
        return cls(prefix, patches, metadata)

    def of(self, layout: TokenLayout) -> Tensor:
        """The entries of a layer's N tokens, (B, N)."""
        starts = (layout.offset, 0, 0)
        parts = zip(self, starts, layout, strict=True)
        return torch.cat([part[:, start : start + size] for part, start, size in parts], dim=1)

    def of_queries(self, layout: TokenLayout) -> Tensor:
        """The entries of a layer's queries, or of more tokens that begin with them."""
        return self.prefix[:, :1] if layout.pools else self.of(layout)

    def below(self, passed: Tensor, layout: TokenLayout, *, scale: float = 1.0) -> ClassRow:
        """The row below a layer: ``scale * (r + r Abar)``.

        Entries of tokens that are not in the layer (metadata below the fusion) do not change.

        Args:
            passed: ``r Abar`` of the layer, (B, N), see `passed_on`.
            layout: Layout of the layer's N tokens.
            scale: 1/2 for rollout, which averages a layer with the identity.
        """
        if layout.pools:  # the class token is the only query: entries of the others stand
            new = self.of(layout) + scale * passed
            above = self._replace(
                prefix=torch.cat([scale * self.prefix[:, :1], self.prefix[:, 1:]], 1)
            )
        else:
            new, above = scale * (self.of(layout) + passed), self
        parts = zip(above, (layout.offset, 0, 0), new.split(list(layout), dim=1), strict=True)
        return ClassRow(
            *(
                torch.cat([old[:, :start], part, old[:, start + part.shape[1] :]], dim=1)
                for old, start, part in parts
            )
        )


def passed_on(row: Tensor, by_head: Tensor) -> Tensor:
    """Relevance ``r Abar`` that tokens pass on by attention, Abar a mean over heads, (B, N).

    Each head is multiplied by r before the mean is taken, so that Abar is not computed.

    Args:
        row: r, the entries of the layer's queries or of more tokens after them, (B, Q) or longer.
        by_head: (B, heads, Q, N); Q is below N if only the first Q tokens are queries.
    """
    heads, queries = by_head.shape[1:3]
    of_queries = row[:, None, :queries].expand(-1, heads, -1).flatten(1).unsqueeze(1)
    with full_precision(row):
        return (of_queries @ by_head.flatten(1, 2)).squeeze(1) / heads
