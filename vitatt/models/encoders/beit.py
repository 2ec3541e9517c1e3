"""Image encoder: a timm Beit, a vision transformer with relative position bias."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.beit import Attention, Beit, Block
from torch import Tensor

from vitatt.models.encoders.vit import ViTEncoder


class BeitEncoder(ViTEncoder):
    """Pixels to class token and patch tokens by a transformer with relative position bias.

    A learnt number for each head and each difference of positions is added to the scores of
    attention, of one table for each block or one for all (Bao et al., BEiT, ICLR 2022). At another
    image size than that of the weights, timm interpolates the tables.

    Args:
        vit: The transformer, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels.
        frozen: See `ImageEncoder`; a table for all blocks is frozen with the lowest block.
        gradient_checkpointing: Compute each block's activations again in the backward pass.

    Raises:
        EncoderError: As `ViTEncoder`.
    """

    vit: Beit
    renorms = True
    block_kinds = (Block,)
    attention_kinds = (Attention,)

    @property
    def closed_to_others(self) -> str:
        """Why no other tokens can join: the blocks take no mask, and their bias is of patches."""
        return "its blocks take no mask for missing tokens, and bias attention by patch position"

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, (B, N, D), of pixels (B, 3, H, W)."""
        patches = self.vit.patch_embed(self._normalised(image))
        tokens = torch.cat([self.vit.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        if self.vit.pos_embed is not None:
            tokens = tokens + self.vit.pos_embed
        return self.vit.pos_drop(tokens)

    def _block_inputs(self, index: int, attn_mask: Tensor | None) -> dict[str, Any]:
        assert attn_mask is None
        shared = self.vit.rel_pos_bias
        return {"shared_rel_pos_bias": None if shared is None else shared()}
