"""Cross-attention: each metadata feature asks the image for what it needs.

Source: Zhang, Xie, Chen and others, "TFormer: a throughout fusion transformer for multi-modal skin
lesion diagnosis", Computers in Biology and Medicine 2023, of whose last stage this is the part that
joins image and metadata.
"""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.models.layers.metadata_encoder import MetadataEncoder, MetadataTokens
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError


class MetadataAsksImage(nn.Module):
    """A pre-norm transformer layer in which metadata tokens query image tokens.

    Args:
        dim: Width D of the tokens.
        num_heads: Attention heads.
        dropout: Dropout after attention and in the MLP.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = FewQueryAttention(dim, num_heads)
        self.drop = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden_features=4 * dim, drop=dropout)

    def forward(self, metadata: Tensor, image: Tensor) -> Tensor:
        """Metadata tokens (B, M, D) after the layer; the image's, as encoded, stay."""
        metadata = metadata + self.drop(self.attn(self.norm1(metadata), image))
        return metadata + self.mlp(self.norm2(metadata))


class CrossAttention(LesionNetwork):
    """Metadata tokens that have looked at the image, their mean beside the class token.

    A feature that was not observed asks nothing.

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
            MetadataAsksImage(encoder.dim, num_heads or encoder.num_heads, dropout)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(2 * encoder.dim)
        self.head = ClassHead(2 * encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits, and class token and mean metadata token, normalised, of a batch."""
        image: Tensor = self.encoder(batch.image)
        asking, hidden = self.metadata_encoder(batch.metadata, batch.missing)
        for block in self.blocks:
            asking = block(asking, image)
        told = MetadataTokens(asking, hidden).mean()
        embedding = self.norm(torch.cat([image[:, 0], told], dim=1))
        return LesionOutput(self.head(embedding), embedding)
