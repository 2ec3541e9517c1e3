"""FiLM in the form of DAFT: channels are scaled and shifted by metadata and image together.

Source: Perez, Strub, de Vries, Dumoulin and Courville, "FiLM: visual reasoning with a general
conditioning layer", AAAI 2018, with scales around 1 and a ReLU after it; Wolf, Poelsterl and
Wachinger, "DAFT: a universal module to interweave tabular data and 3D images in CNNs", NeuroImage
2022, where scale and shift also depend on the pooled map, through a hidden layer that is narrower
by a factor of 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.map_pool import MapPool
from vitatt.models.layers.metadata_vector import MetadataVector
from vitatt.types import LesionBatch, LesionOutput, LesionTask

_NARROWER = 7


class FiLM(LesionNetwork):
    """Tokens x become ``relu((1 + a) * x + b)``, a and b from metadata and image; then pooled.

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
        self.pool = MapPool(encoder)
        width = encoder.dim + self.vector.width
        self.scale_and_shift = nn.Sequential(
            nn.Linear(width, max(1, width // _NARROWER)),
            nn.ReLU(),
            nn.Linear(max(1, width // _NARROWER), 2 * encoder.dim),
        )
        self.norm = nn.LayerNorm(self.pool.count * encoder.dim)
        self.drop = nn.Dropout(dropout)
        self.head = ClassHead(self.pool.count * encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the pooled, normalised map of a batch."""
        tokens: Tensor = self.encoder(batch.image)
        absent = self.encoder.absent_patches(batch.image)
        vector = self.vector(batch.metadata, batch.missing)
        pooled = torch.cat([self.pool(tokens, absent)[:, -1], vector], dim=1)
        scale, shift = self.scale_and_shift(pooled).unsqueeze(1).chunk(2, dim=2)
        changed = F.relu((1 + scale) * tokens + shift)
        embedding = self.norm(self.pool(changed, absent).flatten(1))
        return LesionOutput(self.head(self.drop(embedding)), embedding)
