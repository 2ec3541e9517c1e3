"""Image encoder: a timm vision transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from timm.layers import Attention, AttentionPoolLatent
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitatt.models.encoders.base import ClassToken, EncoderError, ImageEncoder
from vitatt.models.encoders.input_size import set_input_size
from vitatt.models.encoders.prepend_mean import PrependMean


class ViTEncoder(ImageEncoder):
    """Pixels to class token and patch tokens by a vision transformer.

    A transformer without class token has that of its attention pool, as SigLIP, or else the mean
    of its patch tokens. In both cases it is the network's own pooled output.

    Args:
        vit: The transformer, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels; position embeddings are resampled to it.
        frozen: See `ImageEncoder`.
        gradient_checkpointing: Compute each block's activations again in the backward pass.

    Raises:
        EncoderError: If the image is not made of whole patches, a block is not one attention layer
            that can be explained, or there are fewer blocks than are to be frozen.
    """

    attends = True
    renorms = False  # trainings before 0.1.0 left out a norm that is meant for pooled tokens
    block_kinds: ClassVar[tuple[type[nn.Module], ...]] = (Block, ResPostBlock)
    attention_kinds: ClassVar[tuple[type[nn.Module], ...]] = (Attention,)

    def __init__(
        self,
        vit: VisionTransformer,
        name: str,
        *,
        image_size: int,
        frozen: bool | int = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(name, vit, num_blocks=len(vit.blocks), frozen=frozen)
        self._require_plain_layers(vit, name)
        self.vit = vit
        patch = vit.patch_embed.patch_size[0]
        if image_size % patch:
            nearest = max(1, round(image_size / patch)) * patch
            raise EncoderError(
                f"Expected `data.image_size` to be a multiple of the patch size {patch} of {name}, "
                f"but got {image_size}; {nearest} would do."
            )
        set_input_size(vit, image_size)
        self.dim = vit.embed_dim
        self.num_heads = vit.blocks[0].attn.num_heads
        self.grid_size = vit.patch_embed.grid_size
        self.class_token = _class_token(vit)
        has_own = self.class_token == "token"
        self.num_prefix = vit.num_prefix_tokens + (not has_own)
        self.last_prefix = vit.num_prefix_tokens if has_own or self._pools_prefix else 0
        self.prepend_mean = PrependMean() if self.class_token == "mean" else None
        self.gradient_checkpointing = gradient_checkpointing
        self._freeze()

    @property
    def backbone(self) -> nn.Module:
        """The transformer."""
        return self.vit

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks."""
        return list(self.vit.blocks)

    @property
    def closed_to_others(self) -> str:
        """Why no other tokens can join: the class token is not among the tokens of its blocks."""
        if self.class_token == "token":
            return ""
        return "its blocks have no class token, which has to attend to the tokens that join"

    @property
    def last_block(self) -> nn.Module:
        """The last transformer block; the pool if the class token comes from one."""
        if self.class_token == "attention":
            return self.vit.attn_pool
        return self.prepend_mean or self.vit.blocks[-1]

    @property
    def not_decayed(self) -> set[str]:
        """The embeddings, and the query of an attention pool."""
        return {*self.vit.no_weight_decay(), "attn_pool.latent"}

    def token_shape(self, blocks: int) -> tuple[int, int]:
        """The shape (N, D) of the tokens after a number of blocks."""
        whole = blocks == self.num_blocks
        prefix = self.num_prefix if whole else self.vit.num_prefix_tokens
        return prefix + self.num_patches, self.dim

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, (B, N, D), of pixels (B, 3, H, W)."""
        tokens = self.vit.patch_embed(self._normalised(image))
        tokens = self.vit._pos_embed(tokens)
        return self.vit.norm_pre(self.vit.patch_drop(tokens))

    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Output of a block; `attn_mask` is True where a key may be attended to."""
        block, inputs = self.vit.blocks[index], self._block_inputs(index, attn_mask)
        if self.gradient_checkpointing and block.training:
            return checkpoint(block, x, use_reentrant=False, **inputs)
        return block(x, **inputs)

    def _block_inputs(self, index: int, attn_mask: Tensor | None) -> dict[str, Any]:
        """Arguments of a block besides the tokens."""
        del index
        return {"attn_mask": attn_mask}

    def _finish(self, x: Tensor) -> Tensor:
        x = self.vit.norm(x)
        return self.vit.fc_norm(self._pooled(x)) if self._renormed else self._pooled(x)

    def _pooled(self, x: Tensor) -> Tensor:
        """Tokens with a class token before them."""
        if self.class_token == "token":
            return x
        registers = self.vit.num_prefix_tokens - self.last_prefix
        skipped, pooled = x[:, :registers], x[:, registers:]
        if self.class_token == "attention":
            return torch.cat([self.vit.attn_pool(pooled).unsqueeze(1), x], dim=1)
        assert self.prepend_mean is not None
        mean, rest = self.prepend_mean(pooled).tensor_split([1], dim=1)
        return torch.cat([mean, skipped, rest], dim=1)

    @property
    def _renormed(self) -> bool:
        """Whether the norm that timm has after its pooling is applied, to all tokens."""
        return self.renorms or self.class_token != "token"

    @property
    def _pools_prefix(self) -> bool:
        """Whether the class token is pooled from the register tokens too."""
        return getattr(self.vit, "pool_include_prefix", False)

    def _to_tokens(self, x: Tensor) -> Tensor:
        return x

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        return tokens

    def _parts_above(self) -> list[nn.Module]:
        parts = [*self.vit.blocks[self.frozen_blocks :], self.vit.norm]
        if self.class_token == "attention":
            parts.append(self.vit.attn_pool)
        return [*parts, self.vit.fc_norm] if self._renormed else parts

    def _require_plain_layers(self, vit: VisionTransformer, name: str) -> None:
        """Check that each block is one attention layer, softmax(Q K^T) V."""
        for block in vit.blocks:
            attention: Any = getattr(block, "attn", None)
            plain = isinstance(block, self.block_kinds) and isinstance(
                attention, self.attention_kinds
            )
            # Grouped queries share keys and values among heads.
            if not plain or getattr(attention, "num_kv_groups", 1) > 1:
                kind = f"{type(block).__name__} with {type(attention).__name__}"
                if plain:
                    kind += f" of {attention.num_kv_groups} queries to a key"
                raise EncoderError(
                    f"'{name}' is made of blocks of the kind {kind}, whose attention is not one "
                    "layer that can be explained. Choose one of plain blocks, such as "
                    "vit_small_patch16_224, vit_small_patch14_dinov2 or vit_small_patch16_dinov3."
                )


def _class_token(vit: VisionTransformer) -> ClassToken:
    if vit.cls_token is not None:
        return "token"
    return "attention" if isinstance(vit.attn_pool, AttentionPoolLatent) else "mean"
