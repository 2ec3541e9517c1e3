"""Mutual attention: image tokens attend to metadata tokens, and metadata to image tokens.

Source: Cai, Zhu, Wu, Liu and Hu, "A multimodal transformer to fuse images and metadata for skin
disease classification", The Visual Computer 2022: soft label encoding of the metadata, then a block
of two cross-attentions whose outputs are concatenated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.models.layers.map_pool import MapPool
from vitatt.models.layers.metadata_encoder import MetadataEncoder
from vitatt.types import LesionBatch, LesionOutput, LesionTask


class ImageToMetadataAttention(nn.Module):
    """Multi-head attention of all image tokens to metadata tokens, pooled.

    The output projection is linear, so that it is applied after the pooling, to fewer vectors.

    Args:
        dim: Width D of the tokens.
        num_heads: Heads; divides `dim`.
        pool: From image tokens to S vectors.
    """

    def __init__(self, dim: int, num_heads: int, pool: MapPool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pool = pool
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        image: Tensor,
        metadata: Tensor,
        key_padding_mask: Tensor,
        absent: Tensor | None = None,
    ) -> Tensor:
        """Pooled attention output of the image tokens, (B, S, D).

        Args:
            image: Image tokens, (B, N, D).
            metadata: Metadata tokens, (B, M, D).
            key_padding_mask: True where a metadata token is not attended to, (B, M) bool. The
                output is 0 for a case whose metadata tokens are all ignored.
            absent: True for patches that are not pooled, (B, P) bool; None for none.
        """
        none_left = key_padding_mask.all(dim=1)
        # The softmax over no token is NaN: these cases attend to all, and are set to 0 below.
        attendable = ~key_padding_mask | none_left.unsqueeze(1)
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(image), *self.key_value(metadata).chunk(2, dim=2))
        )
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attendable[:, None, None]
        )
        pooled = self.proj(self.pool(attended.transpose(1, 2).flatten(2), absent))
        return pooled.masked_fill(none_left[:, None, None], 0)


class MutualAttention(LesionNetwork):
    """Both cross-attentions with residual connections, pooled and concatenated.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        num_heads: Attention heads; by default the encoder's.
        dropout: Dropout after attention and before the linear layer.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.

    Raises:
        UsageError: If `num_heads` does not divide the tokens' width.
    """

    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        num_heads: int | None = None,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        dim, num_heads = encoder.dim, num_heads or encoder.num_heads
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.metadata_encoder = MetadataEncoder(
            task, dim, dropout=metadata_dropout, dropout_all=metadata_dropout_all
        )
        self.pool = MapPool(encoder)
        self.metadata_norm = nn.LayerNorm(dim)  # the encoder has normalised its image tokens
        # Attributes as in the weights' names of checkpoints.
        self.metadata_asks = FewQueryAttention(dim, num_heads)
        self.image_asks = ImageToMetadataAttention(dim, num_heads, self.pool)
        width = (self.pool.count + 1) * dim
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.head = ClassHead(width, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and pooled image and metadata, normalised, of a batch."""
        image: Tensor = self.encoder(batch.image)
        absent = self.encoder.absent_patches(batch.image)
        metadata = self.metadata_encoder(batch.metadata, batch.missing)
        tokens, mask = metadata
        normed = self.metadata_norm(tokens)
        attended = tokens + self.drop(
            self.metadata_asks(normed, image, self.encoder.absent_tokens(batch.image))
        )
        pooled = self.pool(image, absent) + self.drop(self.image_asks(image, normed, mask, absent))
        mean = metadata._replace(tokens=attended).mean()
        embedding = self.norm(torch.cat([pooled.flatten(1), mean], dim=1))
        return LesionOutput(self.head(self.drop(embedding)), embedding)
