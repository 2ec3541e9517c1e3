"""A baseline on the metadata only, without image."""

from __future__ import annotations

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.metadata_vector import MetadataVector
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class MetadataOnly(LesionNetwork):
    """A two-layer perceptron on the soft one-hot vectors and the missing mask.

    Args:
        encoder: Not used: this network has no image input.
        task: Classes and metadata features.
        hidden: Width of the hidden layer.
        dropout: Dropout after the hidden layer.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.
    """

    encoder: None

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        hidden: int = 128,
        dropout: float = 0.2,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = None
        self.cardinalities = task.cardinalities
        self.vector = MetadataVector(task, metadata_dropout, metadata_dropout_all)
        self.layers = nn.Sequential(
            nn.Linear(self.vector.width, hidden), nn.GELU(), nn.Dropout(dropout)
        )
        self.head = ClassHead(hidden, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the hidden layer of a batch."""
        embedding = self.layers(self.vector(batch.metadata, batch.missing))
        return LesionOutput(self.head(embedding), embedding)
