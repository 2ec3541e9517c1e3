"""MetaBlock: channels of the feature map are gated by the metadata.

Source: Pacheco and Krohling, "An attention-based mechanism to combine images and metadata in deep
learning models applied to skin cancer classification", IEEE Journal of Biomedical and Health
Informatics 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.map_pool import MapPool
from vitatt.models.layers.metadata_encoder import ObservedBatchNorm
from vitatt.models.layers.metadata_vector import MetadataVector
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class MetaBlock(LesionNetwork):
    """Tokens x become ``sigmoid(tanh(f(m) * x) + g(m))``, channel by channel, and are pooled.

    f and g are linear layers of the metadata m with batch normalisation, as in the authors' code.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        dropout: Dropout before the linear layer.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.
    """

    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.vector = MetadataVector(task, metadata_dropout, metadata_dropout_all)
        self.scale = nn.Linear(self.vector.width, encoder.dim)
        self.scale_norm = ObservedBatchNorm(encoder.dim)
        self.shift = nn.Linear(self.vector.width, encoder.dim)
        self.shift_norm = ObservedBatchNorm(encoder.dim)
        self.pool = MapPool(encoder)
        self.norm = nn.LayerNorm(self.pool.count * encoder.dim)
        self.drop = nn.Dropout(dropout)
        self.head = ClassHead(self.pool.count * encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the pooled, normalised map of a batch."""
        tokens = self.encoder(batch.image)
        vector = self.vector(batch.metadata, batch.missing).unsqueeze(1)
        # Batch statistics are over all cases, of which each has one vector.
        every = torch.ones(vector.shape[:2], dtype=torch.bool, device=vector.device)
        scale: Tensor = self.scale_norm(self.scale(vector), every)
        shift: Tensor = self.shift_norm(self.shift(vector), every)
        gated = torch.sigmoid(torch.tanh(scale * tokens) + shift)
        embedding = self.norm(self.pool(gated, self.encoder.absent_patches(batch.image)).flatten(1))
        return LesionOutput(self.head(self.drop(embedding)), embedding)
