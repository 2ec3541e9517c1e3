"""The class token's row of relevance, which is passed from the last layer to the first."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vitatt.explain.attention.differentiation import full_precision
from vitatt.models.fusion.network import TokenLayout


class ClassRow(NamedTuple):
    """Relevance of each token to the class token.

    Attributes:
        prefix: Of the class token, then other prefix tokens, (B, prefix).
        patches: (B, V P).
        metadata: (B, M).
        shares: Weight of each of V views in the class token, which is a mean over those of the
            views, (B, V); None if a case is one image.
        of_views: Of each view's class token, then other prefix tokens, (B, V, prefix), below the
            layers in which the views are together.
    """

    prefix: Tensor
    patches: Tensor
    metadata: Tensor
    shares: Tensor | None = None
    of_views: Tensor | None = None

    @classmethod
    def start(
        cls, like: Tensor, layouts: list[TokenLayout], shares: Tensor | None = None
    ) -> ClassRow:
        """The class token's own row of the identity, in float32 at least.

        Args:
            like: Tensor of the type and device, (B, ...).
            layouts: Layouts of all layers.
            shares: Weight of each view in the class token, (B, V).
        """
        kind = torch.promote_types(like.dtype, torch.float32)
        sizes = (
            max(layout.offset + layout.prefix for layout in layouts),
            max(layout.views * layout.patches for layout in layouts),
            max(layout.metadata for layout in layouts),
        )
        size = len(like) if shares is None else len(shares)
        prefix, patches, metadata = (like.new_zeros(size, n, dtype=kind) for n in sizes)
        prefix[:, 0] = 1
        return cls(prefix, patches, metadata, None if shares is None else shares.to(kind))

    @property
    def kinds(self) -> tuple[Tensor, Tensor, Tensor]:
        """Relevance of prefix, patch and metadata tokens."""
        return self[:3]

    def of(self, layout: TokenLayout) -> Tensor:
        """The entries of a layer's N tokens, (B, N), or (B V, N) if each view has a sequence."""
        if layout.views == 1:
            starts = (layout.offset, 0, 0)
            parts = zip(self.kinds, starts, layout.sizes, strict=True)
            return torch.cat([kind[:, start : start + size] for kind, start, size in parts], dim=1)
        prefix = self._of_views(layout)[:, :, layout.offset : layout.offset + layout.prefix]
        patches = self.patches.unflatten(1, (layout.views, layout.patches))
        return torch.cat([prefix, patches], dim=2).flatten(0, 1)

    def of_queries(self, layout: TokenLayout) -> Tensor:
        """The entries of a layer's queries, or of more tokens that begin with them."""
        if not layout.pools:
            return self.of(layout)
        if layout.views == 1:
            return self.prefix[:, :1]
        return self._of_views(layout)[:, :, :1].flatten(0, 1)

    def below(self, passed: Tensor, layout: TokenLayout, *, scale: float = 1.0) -> ClassRow:
        """The row below a layer: ``scale * (r + r Abar)``.

        Entries of tokens that are not in the layer (metadata below the fusion) do not change.

        Args:
            passed: ``r Abar`` of the layer, like `of`; see `passed_on`.
            layout: Layout of the layer's N tokens.
            scale: 1/2 for rollout, which averages a layer with the identity.
        """
        own = self.of(layout)
        # In a pool the class token is the only query: entries of the others stand.
        new = own + scale * passed if layout.pools else scale * (own + passed)
        of_class = scale if layout.pools else 1.0
        if layout.views == 1:
            above = (_scaled_first(self.prefix, of_class), self.patches, self.metadata)
            parts = zip(above, (layout.offset, 0, 0), new.split(layout.sizes, dim=1), strict=True)
            prefix, patches, metadata = (_put(old, start, part) for old, start, part in parts)
            return self._replace(prefix=prefix, patches=patches, metadata=metadata)
        by_view = new.unflatten(0, (-1, layout.views))
        of_views = _scaled_first(self._of_views(layout), of_class)
        return self._replace(
            of_views=_put(of_views, layout.offset, by_view[:, :, : layout.prefix]),
            patches=by_view[:, :, layout.prefix :].flatten(1),
        )

    def _of_views(self, layout: TokenLayout) -> Tensor:
        """Entries of the views' own class tokens: at first their share of the class token's."""
        of_views = self.of_views
        if of_views is None:
            assert self.shares is not None
            of_views = (self.shares * self.prefix[:, :1]).unsqueeze(2)
        return F.pad(of_views, (0, max(0, layout.offset + layout.prefix - of_views.shape[2])))


def _scaled_first(entries: Tensor, scale: float) -> Tensor:
    """Entries (..., N), the first of them scaled."""
    if scale == 1:
        return entries
    return torch.cat([scale * entries[..., :1], entries[..., 1:]], dim=-1)


def _put(entries: Tensor, start: int, part: Tensor) -> Tensor:
    """Entries (..., N) with a part of them in place of those from `start` on."""
    end = start + part.shape[-1]
    return torch.cat([entries[..., :start], part, entries[..., end:]], dim=-1)


def row_of_layer(values: Tensor, layout: TokenLayout, shares: Tensor | None = None) -> ClassRow:
    """Values of a layer's N tokens, (B, N) or (B V, N), as a row.

    Args:
        values: One for each token.
        layout: Layout of the layer's tokens.
        shares: Factor of each view's values, (B, V).
    """
    prefix, patches, metadata = values.split(layout.sizes, dim=1)
    if layout.views > 1:
        prefix, patches, metadata = (
            part.unflatten(0, (-1, layout.views)) * (1 if shares is None else shares.unsqueeze(2))
            for part in (prefix, patches, metadata)
        )
        prefix, patches, metadata = prefix.sum(1), patches.flatten(1), metadata.sum(1)
    return ClassRow(prefix, patches, metadata)


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
