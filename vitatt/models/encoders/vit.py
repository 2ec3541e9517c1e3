"""Image encoder: a timm vision transformer."""

from __future__ import annotations

from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitatt.models.encoders.base import EncoderError, ImageEncoder


class ViTEncoder(ImageEncoder):
    """Pixels to class token and patch tokens by a vision transformer.

    Args:
        vit: The transformer, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels; position embeddings are resampled to it.
        frozen: See `ImageEncoder`.
        gradient_checkpointing: Compute each block's activations again in the backward pass.

    Raises:
        EncoderError: If the image is not made of whole patches, the transformer has no class token,
            its blocks are of another kind, or there are fewer blocks than are to be frozen.
    """

    attends = True

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
        if vit.cls_token is None:
            raise EncoderError(
                f"'{name}' has no class token, which attention fusion reads. Choose one that has, "
                "such as vit_small_patch16_224 or vit_small_patch14_dinov2."
            )
        other = [type(b) for b in vit.blocks if not isinstance(b, Block | ResPostBlock)]
        if other:
            raise EncoderError(
                f"'{name}' is made of blocks of the kind {other[0].__name__}, whose attention is "
                "not one layer that can be explained. Choose one of plain blocks, such as "
                "vit_small_patch16_224 or vit_small_patch14_dinov2."
            )
        self.vit = vit
        patch = vit.patch_embed.patch_size[0]
        if image_size % patch:
            nearest = max(1, round(image_size / patch)) * patch
            raise EncoderError(
                f"Expected `data.image_size` to be a multiple of the patch size {patch} of {name}, "
                f"but got {image_size}; {nearest} would do."
            )
        vit.set_input_size(img_size=(image_size, image_size))
        self.dim = vit.embed_dim
        self.num_heads = vit.blocks[0].attn.num_heads
        self.num_prefix = self.last_prefix = vit.num_prefix_tokens
        self.grid_size = vit.patch_embed.grid_size
        self.gradient_checkpointing = gradient_checkpointing
        self._freeze()

    @property
    def backbone(self) -> nn.Module:
        """The transformer."""
        return self.vit

    @property
    def last_block(self) -> nn.Module:
        """The last transformer block."""
        return self.vit.blocks[-1]

    @property
    def not_decayed(self) -> set[str]:
        """The embeddings."""
        return set(self.vit.no_weight_decay())

    def token_shape(self, blocks: int) -> tuple[int, int]:
        """The shape (N, D) of the tokens, which is the same after each block."""
        del blocks
        return self.num_prefix + self.num_patches, self.dim

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, (B, num_prefix + P, D), of pixels (B, 3, H, W)."""
        tokens = self.vit.patch_embed(self._normalised(image))
        tokens = self.vit._pos_embed(tokens)
        return self.vit.norm_pre(self.vit.patch_drop(tokens))

    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Output of a block; `attn_mask` is True where a key may be attended to."""
        block = self.vit.blocks[index]
        if self.gradient_checkpointing and block.training:
            return checkpoint(block, x, attn_mask=attn_mask, use_reentrant=False)
        return block(x, attn_mask=attn_mask)

    def _finish(self, x: Tensor) -> Tensor:
        return self.vit.norm(x)

    def _to_tokens(self, x: Tensor) -> Tensor:
        return x

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        return tokens

    def _parts_above(self) -> list[nn.Module]:
        return [*self.vit.blocks[self.frozen_blocks :], self.vit.norm]
