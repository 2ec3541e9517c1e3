"""Relevance, the result of every explanation method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vitatt.explain.attention.class_row import ClassRow
from vitatt.models.fusion.network import LesionNetwork


class Cost(NamedTuple):
    """Cost of an explanation.

    Attributes:
        forwards: Forward passes per case, through the network or a part of it.
        backwards: Backward passes per case.
        seconds: Wall time for the batch, including a forward pass shared with other methods.
    """

    forwards: int
    backwards: int
    seconds: float


class Relevance(NamedTuple):
    """Relevance of a batch, for K classes per case.

    Attributes:
        patches: (B, K, h, w), not negative unless the method is signed.
        features: (B, K, F), not negative unless the method is signed; 0 where nothing was observed,
            unless the network has a token for missing features. F is 0 without metadata input, and
            1 for attention-reading methods if all features share a token.
        logits: (B, C) of the forward pass.
        cost: Passes and time.
    """

    patches: Tensor
    features: Tensor
    logits: Tensor
    cost: Cost

    @property
    def image_share(self) -> Tensor:
        """Share of the image in all relevance, (B, K), between 0 and 1; NaN where all is 0."""
        image = self.patches.sum((-2, -1))
        return image / (image + self.features.sum(-1))

    def view_shares(self, views: int) -> Tensor:
        """Share of each of V views in all relevance, (B, K, V); they sum to `image_share`."""
        of_views = self.patches.unflatten(2, (views, -1)).sum((-2, -1)) if views else None
        if of_views is None:
            return self.patches.new_zeros(*self.patches.shape[:2], 0)
        return of_views / (of_views.sum(-1, keepdim=True) + self.features.sum(-1, keepdim=True))

    @classmethod
    def of_rows(
        cls, rows: Sequence[ClassRow], network: LesionNetwork, logits: Tensor, cost: Cost
    ) -> Relevance:
        """Relevance from the class token's row for each of K classes."""
        assert network.encoder is not None
        grid = network.grid_size
        return cls(
            patches=torch.stack([row.patches.unflatten(1, grid) for row in rows], dim=1),
            features=torch.stack([row.metadata for row in rows], dim=1),
            logits=logits.detach(),
            cost=cost,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Relevance]) -> Relevance:
        """Relevance of several batches by one method, as one batch."""
        return cls(
            patches=torch.cat([part.patches for part in parts]),
            features=torch.cat([part.features for part in parts]),
            logits=torch.cat([part.logits for part in parts]),
            cost=parts[0].cost._replace(seconds=sum(part.cost.seconds for part in parts)),
        )
