"""ViTAtt: multi-head self-attention over class token, image patches and metadata.

Source: arXiv 2304.14505.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork, TokenLayout
from vitatt.models.layers.additive_path import AdditivePath
from vitatt.models.layers.class_head import ClassHead
from vitatt.models.layers.few_query_attention import attend_unprojected, require_whole_heads
from vitatt.models.layers.metadata_encoder import (
    Granularity,
    MetadataEncoder,
    MetadataTokens,
    Missing,
)
from vitatt.models.layers.pre_norm_layer import PreNormLayer
from vitatt.types import LesionBatch, LesionOutput, LesionTask, Pixels, Tokens, UsageError


class JointAttention(nn.Module):
    """Multi-head self-attention over all tokens by a fused kernel.

    Args:
        dim: Width D of the tokens.
        num_heads: Heads; must divide `dim`.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        require_whole_heads(dim, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, tokens: Tensor, key_padding_mask: Tensor, *, class_only: bool = False
    ) -> Tensor:
        """Attended tokens, (B, N, D), or (B, 1, D) with `class_only`.

        Args:
            tokens: (B, N, D), the class token first.
            key_padding_mask: True where a token is not attended to, (B, N) bool.
            class_only: Compute the query of the class token only, but keys and values of all.
        """
        if class_only and self.training:
            return self.proj(self._class_row(tokens, key_padding_mask))
        if class_only:
            dim = tokens.shape[-1]
            weights, biases = self.qkv.weight.tensor_split([dim]), self.qkv.bias.tensor_split([dim])
            query = F.linear(tokens[:, :1], weights[0], biases[0])
            key, value = F.linear(tokens, weights[1], biases[1]).chunk(2, dim=-1)
        else:
            query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        query, key, value = (self._split_heads(part) for part in (query, key, value))
        mask = ~key_padding_mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(attended.transpose(1, 2).flatten(2))

    def _class_row(self, tokens: Tensor, key_padding_mask: Tensor) -> Tensor:
        """Attention output of the class token, (B, 1, D), without keys and values of the others.

        The bias of the keys shifts all scores alike and is left out. Explanations need keys and
        values, and are computed in evaluation mode, which does not call this.
        """
        num_heads, dim = self.num_heads, tokens.shape[-1]
        by_head = self.qkv.weight.view(3, num_heads, dim // num_heads, dim)
        bias = self.qkv.bias.view(3, num_heads, dim // num_heads)
        query = torch.einsum("bd,hed->bhe", tokens[:, 0], by_head[0]) + bias[0]
        attended = attend_unprojected(
            query[:, None], by_head[1], by_head[2], tokens, key_padding_mask
        )
        return (attended[:, 0] + bias[2]).flatten(1)[:, None]

    def _split_heads(self, part: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FusionBlock(PreNormLayer):
    """A transformer layer in which all tokens attend to all, or the class token to all.

    Args:
        dim: Width D of the tokens.
        num_heads: Attention heads.
        dropout: Dropout after attention and in the MLP.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__(dim, JointAttention(dim, num_heads), dropout)

    def forward(
        self, tokens: Tensor, key_padding_mask: Tensor, *, class_only: bool = False
    ) -> Tensor:
        """Tokens after the layer, see `JointAttention.forward`."""
        attended = self.attn(self.norm1(tokens), key_padding_mask, class_only=class_only)
        return self.update(tokens[:, :1] if class_only else tokens, attended)


class AttentionFusion(LesionNetwork):
    """Single-stage fusion by joint self-attention, ViTAtt.

    The last layer computes the query of the class token only, because the logits depend on no other
    token of its output.

    Args:
        encoder: The image encoder.
        task: Classes and metadata features.
        depth: Fusion layers after the encoder; by default 1, or 0 with `join_at`.
        join_at: Add the metadata tokens before this block of the encoder, so that its pretrained
            blocks fuse image and metadata; 0 for all blocks.
        num_heads: Attention heads of the fusion layers; by default the encoder's.
        dropout: Dropout in the fusion layers.
        granularity: ``feature`` for one metadata token per feature, ``joint`` for one token of all
            features.
        missing: How features that were not observed are encoded, see `MetadataEncoder`.
        metadata_dropout: Probability of hiding an observed feature in training.
        metadata_dropout_all: Probability of hiding all features of a case in training.
        additive: Add a path on which the evidence of tokens adds up, see `AdditivePath`. The logits
            are the mean of its logits and those of the attention, each of which is trained to
            classify by itself (a product of experts, Hinton, Neural Computation 2002).

    Raises:
        UsageError: If an argument is out of range.
    """

    encoder: ImageEncoder

    def __init__(
        self,
        encoder: ImageEncoder,
        task: LesionTask,
        depth: int | None = None,
        join_at: int | None = None,
        num_heads: int | None = None,
        dropout: float = 0.1,
        granularity: Granularity = "feature",
        missing: Missing = "mask",
        metadata_dropout: float = 0.1,
        metadata_dropout_all: float = 0.1,
        additive: bool = False,
    ) -> None:
        super().__init__()
        depth = depth if depth is not None else int(join_at is None)
        if depth < 0 or (depth == 0 and join_at is None):
            raise UsageError(
                f"Expected argument `depth` to be at least 1 (0 is allowed with `join_at`), but "
                f"got {depth}."
            )
        if join_at is not None and encoder.closed_to_others:
            raise UsageError(
                f"Expected argument `join_at` to be null with {type(encoder.backbone).__name__} "
                f"as `model.encoder`, but got {join_at}: {encoder.closed_to_others}. Metadata can "
                "join a vision transformer with class token and learnt position embeddings, such "
                "as vit_small_patch14_dinov2."
            )
        if join_at is not None and not 0 <= join_at < encoder.num_blocks:
            raise UsageError(
                f"Expected argument `join_at` to be one of the encoder's blocks 0 to "
                f"{encoder.num_blocks - 1}, but got {join_at}."
            )
        if join_at is not None and encoder.views > 1:
            raise UsageError(
                f"Expected argument `join_at` to be null with cases of {encoder.views} images "
                f"({', '.join(task.views)}), but got {join_at}: the encoder sees each image by "
                "itself, so that metadata tokens can join all of them only after it."
            )
        if additive and join_at is not None:
            raise UsageError(
                "Expected argument `additive` to be false with `join_at`: tokens that the encoder "
                "has fused are no evidence of their own."
            )
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        self.join_at = join_at
        self.metadata_encoder = MetadataEncoder(
            task,
            encoder.dim,
            granularity=granularity,
            missing=missing,
            dropout=metadata_dropout,
            dropout_all=metadata_dropout_all,
        )
        # Of class, patch and metadata tokens.
        self.modality_embedding = nn.Parameter(torch.randn(3, encoder.dim) * 0.02)
        self.view_embedding: nn.Parameter | None = None
        if encoder.views > 1:
            self.view_embedding = nn.Parameter(torch.randn(encoder.views, encoder.dim) * 0.02)
        self.blocks = nn.ModuleList(
            FusionBlock(encoder.dim, num_heads or encoder.num_heads, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(encoder.dim)
        self.head = ClassHead(encoder.dim, len(task.classes))
        self.additive = AdditivePath(encoder.dim, len(task.classes)) if additive else None

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and the fused class token of a batch."""
        metadata = self.metadata_encoder(batch.metadata, batch.missing)
        if self.join_at is None:
            tokens = self.encoder(batch.image)
            tokens = torch.cat([tokens[:, :1], tokens[:, self.encoder.num_prefix :]], dim=1)
            tokens = self._join(tokens, 1, metadata)
        else:
            tokens = self._encode_jointly(batch.image, metadata)
        key_padding_mask = self._key_padding_mask(tokens, metadata)
        absent = self.encoder.absent_patches(batch.image)
        if absent is not None:
            key_padding_mask[:, 1 : 1 + absent.shape[1]] = absent
        added = None
        if self.additive is not None:
            num_patches = self.encoder.views * self.encoder.num_patches
            added = self.additive(tokens, key_padding_mask, num_patches, absent)
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens, key_padding_mask, class_only=number == len(self.blocks))
        embedding = self.norm(tokens[:, 0])
        logits = self.head(embedding)
        if added is None:
            return LesionOutput(logits, embedding)
        paths = torch.stack([logits, self.head.calibrated(added)], dim=1)
        return LesionOutput(paths.mean(1), embedding, paths)

    @property
    def layouts(self) -> list[TokenLayout]:
        """The encoder's layers, joint from `join_at` on, any additive path, the fusion layers."""
        layouts = self.encoder_layouts()
        count = self.metadata_encoder.num_tokens
        prefix = 1
        if self.join_at is not None:
            prefix = self.encoder.num_prefix
            layouts = [
                layout._replace(metadata=count if index >= self.join_at else 0)
                for index, layout in enumerate(layouts)
            ]
        fused = TokenLayout(prefix, self.encoder.views * self.encoder.num_patches, count)
        return layouts + [fused] * (len(self.blocks) + (self.additive is not None))

    @property
    def last_layer(self) -> nn.Module:
        """The last fusion layer, or the encoder's last block if there is none."""
        return self.blocks[-1] if len(self.blocks) else self.encoder.last_block

    @property
    def image_blocks(self) -> int:
        """The encoder's blocks before metadata joins."""
        return self.encoder.num_blocks if self.join_at is None else self.join_at

    def _encode_jointly(self, image: Pixels | Tokens, metadata: MetadataTokens) -> Tensor:
        if isinstance(image, Tokens) and self.encoder.given_blocks > self.image_blocks:
            raise UsageError(
                f"Expected pixels, but got tokens of {self.encoder.given_blocks} blocks: metadata "
                f"joins before block {self.join_at}, so they cannot be computed beforehand."
            )
        mask: Tensor | None = None

        def at_block(index: int, tokens: Tensor) -> Tensor:
            nonlocal mask
            if index == self.join_at:
                tokens = self._join(tokens, self.encoder.num_prefix, metadata)
                mask = ~self._key_padding_mask(tokens, metadata)[:, None, None, :]
            return self.encoder.run_block(index, tokens, mask)

        return self.encoder(image, at_block)

    def _join(self, tokens: Tensor, num_prefix: int, metadata: MetadataTokens) -> Tensor:
        """Image tokens (B, prefix + P, D) and metadata tokens in one sequence."""
        kinds = self.modality_embedding
        of_patches = kinds[1].expand(tokens.shape[1] - num_prefix, -1)
        if self.view_embedding is not None:
            each = self.encoder.num_patches
            of_patches = of_patches + self.view_embedding.repeat_interleave(each, dim=0)
        image_kinds = torch.cat([kinds[0].expand(num_prefix, -1), of_patches])
        return torch.cat([tokens + image_kinds, metadata.tokens + kinds[2]], dim=1)

    def _key_padding_mask(self, tokens: Tensor, metadata: MetadataTokens) -> Tensor:
        """True where a token of the sequence is not attended to, (B, N) bool."""
        num_image = tokens.shape[1] - metadata.tokens.shape[1]
        return F.pad(metadata.key_padding_mask, (num_image, 0), value=False)
