"""Attention bottlenecks: image and metadata speak to each other through a few tokens alone.

Source: Nagrani, Yang, Arnab, Jansen, Schmid and Sun, "Attention bottlenecks for multimodal fusion",
NeurIPS 2021, section 3 (bottleneck fusion).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.models.layers.metadata_encoder import MetadataEncoder
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError


class StreamLayer(nn.Module):
    """A pre-norm transformer layer of one stream, for its class token and the bottlenecks.

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

    def forward(
        self, few: Tensor, others: Tensor, attendable: Tensor | None, *, asking: int
    ) -> Tensor:
        """The first `asking` of the few after the layer.

        Args:
            few: Class token, then bottlenecks, (B, Q, D).
            others: The stream's own tokens as encoded, (B, N, D).
            attendable: True where one of these may be attended to, (B, N) bool; None for all.
            asking: How many of the few ask.
        """
        normed = self.norm1(few)
        if attendable is not None:
            attendable = F.pad(attendable, (few.shape[1], 0), value=True)
        asked = torch.cat([normed, others], dim=1)
        attended = self.attn(normed[:, :asking], asked, attendable)
        kept = few[:, :asking] + self.drop(attended)
        return kept + self.mlp(self.norm2(kept))


class BottleneckFusion(LesionNetwork):
    """A stream each for image and metadata, with class tokens of their own and shared bottlenecks.

    In each layer both streams attend to themselves and the bottlenecks; these go on as the mean of
    what the streams made of them. The logits are those of the mean of both class tokens. Other than
    in the paper, patches and features stay as they were encoded: only class tokens and bottlenecks
    ask, and in the last layer only class tokens, whose logits read nothing else.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        depth: Layers of each stream; in the first, nothing has passed the bottlenecks yet.
        bottlenecks: Tokens between the streams.
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
        features, hidden = self.metadata_encoder(batch.metadata, batch.missing)
        of_image, patches = tokens[:, :1], tokens[:, self.encoder.num_prefix :]
        of_metadata = self.class_embedding.expand(len(tokens), 1, -1)
        shared = self.bottleneck_embedding.expand(len(tokens), -1, -1)
        layers = list(zip(self.image_stream, self.metadata_stream, strict=True))
        for number, (image_layer, metadata_layer) in enumerate(layers, start=1):
            asking = 1 if number == len(layers) else 1 + shared.shape[1]
            image = image_layer(torch.cat([of_image, shared], 1), patches, None, asking=asking)
            metadata = metadata_layer(
                torch.cat([of_metadata, shared], 1), features, ~hidden, asking=asking
            )
            of_image, of_metadata = image[:, :1], metadata[:, :1]
            shared = (image[:, 1:] + metadata[:, 1:]) / 2
        embedding = self.norm((of_image + of_metadata)[:, 0] / 2)
        return LesionOutput(self.head(embedding), embedding)
