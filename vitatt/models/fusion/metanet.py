"""MetaNet: each channel of the feature map is multiplied by a gate computed from the metadata.

Source: Li, Zhuang, Wang and Zheng, "Fusing metadata and dermoscopy images for skin disease
diagnosis", IEEE International Symposium on Biomedical Imaging (ISBI) 2020.
"""

from __future__ import annotations

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.map_pool import MapPool
from vitatt.models.layers.metadata_vector import MetadataVector
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class MetaNet(LesionNetwork):
    """The feature map times ``sigmoid(W_2 relu(W_1 m))`` of the metadata m, pooled.

    The paper's two 1 x 1 convolutions have an input of one position, so that they are linear layers
    here. The gate is the same at all positions of a channel, so that it is applied to their mean.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        hidden: Width between the two layers.
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
        self.gate = nn.Sequential(
            nn.Linear(self.vector.width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, encoder.dim),
            nn.Sigmoid(),
        )
        self.pool = MapPool(encoder)
        self.norm = nn.LayerNorm(self.pool.count * encoder.dim)
        self.drop = nn.Dropout(dropout)
        self.head = ClassHead(self.pool.count * encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the gated, normalised means of a batch."""
        pooled = self.pool(self.encoder(batch.image), self.encoder.absent_patches(batch.image))
        gate = self.gate(self.vector(batch.metadata, batch.missing))
        embedding = self.norm((pooled * gate.unsqueeze(1)).flatten(1))
        return LesionOutput(self.head(self.drop(embedding)), embedding)
