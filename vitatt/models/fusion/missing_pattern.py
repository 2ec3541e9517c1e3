"""A baseline on the missing mask only: it measures how far missing values give the label away.

In PAD-UFES-20 all rows without anamnesis are benign, so that a model can exploit which values are
missing. Metrics of other models should be compared with those of this one.
"""

from __future__ import annotations

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class MissingPattern(LesionNetwork):
    """A two-layer perceptron on the missing mask.

    Args:
        encoder: Not used: this network has no image input.
        task: Classes and metadata features.
        hidden: Width of the hidden layer.
    """

    encoder: None

    def __init__(self, encoder: ImageEncoder, task: LesionTask, hidden: int = 32) -> None:
        super().__init__()
        self.encoder = None
        self.cardinalities = task.cardinalities
        self.layers = nn.Sequential(nn.Linear(len(task.features), hidden), nn.GELU())
        self.head = ClassHead(hidden, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the hidden layer of a batch."""
        embedding = self.layers(batch.missing.to(self.head.weight.dtype))
        return LesionOutput(self.head(embedding), embedding)
