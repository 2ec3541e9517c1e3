"""Late fusion: image and metadata features are concatenated before the classifier.

Source: Pacheco and Krohling, "The impact of patient clinical information on automated skin cancer
detection", Computers in Biology and Medicine 2020.
"""

from __future__ import annotations

import torch
from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.metadata_vector import MetadataVector
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class Concatenation(LesionNetwork):
    """A linear layer on the class token concatenated with an embedding of the metadata.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        hidden: Width of the metadata's embedding.
        dropout: Dropout before the linear layer.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.
    """

    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        hidden: int = 128,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.vector = MetadataVector(task, metadata_dropout, metadata_dropout_all)
        self.of_metadata = nn.Sequential(nn.Linear(self.vector.width, hidden), nn.GELU())
        self.norm = nn.LayerNorm(encoder.dim)
        self.drop = nn.Dropout(dropout)
        self.head = ClassHead(encoder.dim + hidden, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the concatenated embedding of a batch."""
        image = self.norm(self.encoder(batch.image)[:, 0])
        metadata = self.of_metadata(self.vector(batch.metadata, batch.missing))
        embedding = torch.cat([image, metadata], dim=1)
        return LesionOutput(self.head(self.drop(embedding)), embedding)
