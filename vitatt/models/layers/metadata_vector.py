"""Metadata as one vector: soft one-hot vectors and missing mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.models.layers.metadata_encoder import MetadataDropout
from vitatt.types import LesionTask


class MetadataVector(nn.Module):
    """All soft one-hot vectors and the missing mask, concatenated.

    A feature that was not observed, or is hidden in training, is uniform and marked as missing, so
    that its values in the batch have no effect.

    Args:
        task: The features and their cardinalities.
        dropout: Probability of hiding an observed feature in training.
        dropout_all: Probability of hiding all features of a case in training.

    Attributes:
        width: Length of the vector, sum of K_f + F.
    """

    counts: Tensor
    feature_of: Tensor

    def __init__(self, task: LesionTask, dropout: float, dropout_all: float) -> None:
        super().__init__()
        counts = torch.tensor(task.cardinalities, dtype=torch.long)
        # For each column, the number of columns of its feature.
        self.register_buffer("counts", counts.repeat_interleave(counts), persistent=False)
        feature_of = torch.repeat_interleave(torch.arange(len(counts)), counts)
        self.register_buffer("feature_of", feature_of, persistent=False)
        self.drop = MetadataDropout(dropout, dropout_all)
        self.width = int(counts.sum()) + len(counts)

    def forward(self, metadata: Tensor, missing: Tensor) -> Tensor:
        """The vector (B, width) of soft one-hots (B, sum of K_f) and missing mask (B, F)."""
        hidden = self.drop(missing)
        uniform = self.counts.to(metadata.dtype).reciprocal()
        known = torch.where(hidden[:, self.feature_of], uniform, metadata)
        return torch.cat([known, hidden.to(known.dtype)], dim=1)
