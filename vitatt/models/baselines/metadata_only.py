"""The metadata alone: what the image has to improve on."""

from __future__ import annotations

import torch
from torch import nn

from vitatt.models.class_head import ClassHead
from vitatt.models.image_encoder import ImageEncoder
from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class MetadataOnly(LesionNetwork):
    """A two-layer perceptron on the soft one-hot vectors and the missing mask.

    Args:
        encoder: Not used: this arm sees no image.
        task: Classes and metadata features.
        hidden: Width of the hidden layer.
        dropout: Dropout after the hidden layer.
    """

    encoder: None

    def __init__(
        self, encoder: ImageEncoder, task: LesionTask, hidden: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.encoder = None
        self.cardinalities = task.cardinalities
        self.layers = nn.Sequential(
            nn.Linear(sum(task.cardinalities) + len(task.features), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.head = ClassHead(hidden, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the hidden layer of a batch."""
        missing = batch.missing.to(batch.metadata.dtype)
        embedding = self.layers(torch.cat([batch.metadata, missing], dim=1))
        return LesionOutput(self.head(embedding), embedding)
