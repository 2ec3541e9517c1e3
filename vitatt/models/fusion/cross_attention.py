"""Cross-attention from metadata tokens to image tokens.

Source: the part that joins image and metadata in the last stage of Zhang, Xie, Chen and others,
"TFormer: a throughout fusion transformer for multi-modal skin lesion diagnosis", Computers in
Biology and Medicine 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.models.layers.metadata_encoder import MetadataEncoder
from vitatt.models.layers.pre_norm_layer import PreNormLayer
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError


class MetadataToImageLayer(PreNormLayer):
    """A transformer layer in which metadata tokens attend to image tokens.

    Args:
        dim: Width D of the tokens.
        num_heads: Attention heads.
        dropout: Dropout after attention and in the MLP.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, FewQueryAttention(dim, num_heads), dropout)

    def forward(self, metadata: Tensor, image: Tensor, absent: Tensor | None = None) -> Tensor:
        """Metadata tokens (B, M, D) after the layer; image tokens (B, N, D) do not change.

        Those of them that are `absent`, (B, N) bool, are not attended to.
        """
        return self.update(metadata, self.attn(self.norm1(metadata), image, absent))


class CrossAttention(LesionNetwork):
    """The mean metadata token after cross-attention, concatenated with the class token.

    Tokens of features that were not observed are left out of the mean.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        depth: Layers.
        num_heads: Attention heads; by default the encoder's.
        dropout: Dropout in the layers.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.

    Raises:
        UsageError: If an argument is out of range.
    """

    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        depth: int = 1,
        num_heads: int | None = None,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise UsageError(f"Expected argument `depth` to be at least 1, but got {depth}.")
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.metadata_encoder = MetadataEncoder(
            task, encoder.dim, dropout=metadata_dropout, dropout_all=metadata_dropout_all
        )
        self.blocks = nn.ModuleList(
            MetadataToImageLayer(encoder.dim, num_heads or encoder.num_heads, dropout)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(2 * encoder.dim)
        self.head = ClassHead(2 * encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits, and class token and mean metadata token, normalised, of a batch."""
        image: Tensor = self.encoder(batch.image)
        metadata = self.metadata_encoder(batch.metadata, batch.missing)
        tokens = metadata.tokens
        absent = self.encoder.absent_tokens(batch.image)
        for block in self.blocks:
            tokens = block(tokens, image, absent)
        mean = metadata._replace(tokens=tokens).mean()
        embedding = self.norm(torch.cat([image[:, 0], mean], dim=1))
        return LesionOutput(self.head(embedding), embedding)
