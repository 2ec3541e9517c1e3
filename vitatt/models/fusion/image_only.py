"""A baseline on the image only, without metadata."""

from __future__ import annotations

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork, TokenLayout
from vitatt.models.layers.class_head import ClassHead
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class ImageOnly(LesionNetwork):
    """A linear layer on the encoder's class token.

    Args:
        encoder: The image encoder.
        task: Classes.
        dropout: Dropout before the linear layer.
    """

    encoder: ImageEncoder

    def __init__(self, encoder: ImageEncoder, task: LesionTask, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = ()
        self.norm = nn.LayerNorm(encoder.dim)
        self.drop = nn.Dropout(dropout)
        self.head = ClassHead(encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the normalised class token of a batch."""
        embedding = self.norm(self.encoder(batch.image)[:, 0])
        return LesionOutput(self.head(self.drop(embedding)), embedding)

    @property
    def layouts(self) -> list[TokenLayout]:
        """The encoder's layers; none if the class token attends in none of them."""
        return [] if self.encoder.class_token == "mean" else self.encoder_layouts()

    @property
    def last_layer(self) -> nn.Module:
        """The encoder's last block."""
        return self.encoder.last_block
