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
            max(layout.prefix for layout in layouts),
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
            cut = [kind[:, :size] for kind, size in zip(self.kinds, layout.sizes, strict=True)]
            return torch.cat(cut, dim=1)
        of_views = self._of_views(layout)
        patches = self.patches.unflatten(1, (layout.views, layout.patches))
        return torch.cat([of_views, patches], dim=2).flatten(0, 1)

    def below(self, passed: Tensor, layout: TokenLayout, *, scale: float = 1.0) -> ClassRow:
        """The row below a layer: ``scale * (r + r Abar)``.

        Entries of tokens that are not in the layer (metadata below the fusion) do not change.

        Args:
            passed: ``r Abar`` of the layer, like `of`; see `passed_on`.
            layout: Layout of the layer's N tokens.
            scale: 1/2 for rollout, which averages a layer with the identity.
        """
        changed = scale * (self.of(layout) + passed)
        if layout.views > 1:
            by_view = changed.unflatten(0, (-1, layout.views))
            return self._replace(
                of_views=by_view[:, :, : layout.prefix],
                patches=by_view[:, :, layout.prefix :].flatten(1),
            )
        prefix, patches, metadata = (
            torch.cat([new, old[:, new.shape[1] :]], dim=1)
            for new, old in zip(changed.split(layout.sizes, dim=1), self.kinds, strict=True)
        )
        return self._replace(prefix=prefix, patches=patches, metadata=metadata)

    def _of_views(self, layout: TokenLayout) -> Tensor:
        """Entries of the views' own class tokens: at first their share of the class token's."""
        if self.of_views is not None:
            return self.of_views
        assert self.shares is not None
        of_class = (self.shares * self.prefix[:, :1]).unsqueeze(2)
        return F.pad(of_class, (0, layout.prefix - 1))


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
        row: r, the entries of the layer's N tokens, (B, N).
        by_head: (B, heads, Q, N); Q is below N if only the first Q tokens are queries.
    """
    heads, queries = by_head.shape[1:3]
    of_queries = row[:, None, :queries].expand(-1, heads, -1).flatten(1).unsqueeze(1)
    with full_precision(row):
        return (of_queries @ by_head.flatten(1, 2)).squeeze(1) / heads
