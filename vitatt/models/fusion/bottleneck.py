"""Attention bottlenecks: image and metadata exchange information through a few tokens only.

Source: Nagrani, Yang, Arnab, Jansen, Schmid and Sun, "Attention bottlenecks for multimodal fusion",
NeurIPS 2021, section 3 (bottleneck fusion).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.models.layers.metadata_encoder import MetadataEncoder
from vitatt.models.layers.pre_norm_layer import PreNormLayer
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError


class StreamLayer(PreNormLayer):
    """A transformer layer of one stream, whose queries are its class token and the bottlenecks.

    Args:
        dim: Width D of the tokens.
        num_heads: Attention heads.
        dropout: Dropout after attention and in the MLP.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, FewQueryAttention(dim, num_heads), dropout)

    def forward(
        self, tokens: Tensor, context: Tensor, key_padding_mask: Tensor | None, *, queries: int
    ) -> Tensor:
        """The first `queries` of the tokens after the layer.

        Args:
            tokens: Class token, then bottlenecks, (B, Q, D).
            context: Tokens of the stream as encoded, (B, N, D).
            key_padding_mask: True where one of these is ignored, (B, N) bool; None for nowhere.
            queries: Number of tokens that attend, to all tokens and the context.
        """
        normed = self.norm1(tokens)
        if key_padding_mask is not None:
            key_padding_mask = F.pad(key_padding_mask, (tokens.shape[1], 0), value=False)
        attended = self.attn(
            normed[:, :queries], torch.cat([normed, context], dim=1), key_padding_mask
        )
        return self.update(tokens[:, :queries], attended)


class BottleneckFusion(LesionNetwork):
    """Streams of image and of metadata, each with its own class token, and shared bottlenecks.

    In each layer, both streams attend to their own tokens and to the bottlenecks, which the next
    layer gets as the mean over both streams. The logits depend on the mean of both class tokens.
    Unlike in the paper, patch and metadata tokens are not updated: only class tokens and
    bottlenecks are queries, and in the last layer only class tokens.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        depth: Layers of each stream; after the first, the bottlenecks carry information of both.
        bottlenecks: Number of bottleneck tokens.
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
        depth: int = 2,
        bottlenecks: int = 4,
        num_heads: int | None = None,
        dropout: float = 0.1,
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
    ) -> None:
        super().__init__()
        for name, value, least in (("depth", depth, 2), ("bottlenecks", bottlenecks, 1)):
            if value < least:
                raise UsageError(
                    f"Expected argument `{name}` to be at least {least}, but got {value}."
                )
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.metadata_encoder = MetadataEncoder(
            task, encoder.dim, dropout=metadata_dropout, dropout_all=metadata_dropout_all
        )
        self.class_embedding = nn.Parameter(torch.randn(1, encoder.dim) * 0.02)
        self.bottleneck_embedding = nn.Parameter(torch.randn(bottlenecks, encoder.dim) * 0.02)
        self.image_stream, self.metadata_stream = (
            nn.ModuleList(
                StreamLayer(encoder.dim, num_heads or encoder.num_heads, dropout)
                for _ in range(depth)
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(encoder.dim)
        self.head = ClassHead(encoder.dim, len(task.classes))

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the mean of both class tokens, normalised, of a batch."""
        tokens = self.encoder(batch.image)
        features, mask = self.metadata_encoder(batch.metadata, batch.missing)
        of_image, patches = tokens[:, :1], tokens[:, self.encoder.num_prefix :]
        absent = self.encoder.absent_patches(batch.image)
        of_metadata = self.class_embedding.expand(tokens.shape[0], 1, -1)
        shared = self.bottleneck_embedding.expand(tokens.shape[0], -1, -1)
        layers = list(zip(self.image_stream, self.metadata_stream, strict=True))
        for number, (image_layer, metadata_layer) in enumerate(layers, start=1):
            queries = 1 if number == len(layers) else 1 + shared.shape[1]
            image = image_layer(torch.cat([of_image, shared], 1), patches, absent, queries=queries)
            metadata = metadata_layer(
                torch.cat([of_metadata, shared], 1), features, mask, queries=queries
            )
            of_image, of_metadata = image[:, :1], metadata[:, :1]
            shared = (image[:, 1:] + metadata[:, 1:]) / 2
        embedding = self.norm((of_image + of_metadata)[:, 0] / 2)
        return LesionOutput(self.head(embedding), embedding)
