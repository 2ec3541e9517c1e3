"""Image encoder: a timm Eva, a vision transformer with rotary position (DINOv3, EVA-02)."""

from __future__ import annotations

from typing import Any

from timm.layers import AttentionRope
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor

from vitatt.models.encoders.vit import ViTEncoder


class EvaEncoder(ViTEncoder):
    """Pixels to class token and patch tokens by a transformer with rotary position.

    Queries and keys of patches are rotated by angles that depend on their position (Su et al.,
    RoFormer, 2021; Heo et al., ECCV 2024), so that the encoder takes every image size.

    Args:
        vit: The transformer, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels.
        frozen: See `ImageEncoder`.
        gradient_checkpointing: Compute each block's activations again in the backward pass.

    Raises:
        EncoderError: As `ViTEncoder`.
    """

    vit: Eva
    rotation: Tensor | None
    renorms = True
    block_kinds = (EvaBlock, EvaBlockPostNorm)
    attention_kinds = (EvaAttention, AttentionRope)

    def __init__(
        self,
        vit: Eva,
        name: str,
        *,
        image_size: int,
        frozen: bool | int = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            vit,
            name,
            image_size=image_size,
            frozen=frozen,
            gradient_checkpointing=gradient_checkpointing,
        )
        fixed = None
        if vit.rope is not None:
            vit.rope.eval()
            if not vit.rope_mixed:
                fixed = vit.rope.get_embed(shape=list(self.grid_size)).clone()
        # Sines and cosines of all positions, (P, 2 D / heads), where they are not learnt.
        self.register_buffer("rotation", fixed, persistent=False)

    @property
    def closed_to_others(self) -> str:
        """Why no other tokens can join: they have no position to rotate by."""
        if self.vit.rope is not None:
            return "its rotary position is defined for the patches of an image only"
        return super().closed_to_others

    def train(self, mode: bool = True) -> EvaEncoder:
        """Set training mode, in which positions are not augmented: all blocks have the same."""
        super().train(mode)
        if self.vit.rope is not None:
            self.vit.rope.eval()
        return self

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, (B, N, D), of pixels (B, 3, H, W)."""
        tokens, _ = self.vit._pos_embed(self.vit.patch_embed(self._normalised(image)))
        return self.vit.norm_pre(tokens)

    def _block_inputs(self, index: int, attn_mask: Tensor | None) -> dict[str, Any]:
        rotation = self.rotation
        if self.vit.rope_mixed:  # learnt for each block and head
            rotation = self.vit.rope.get_embed(shape=list(self.grid_size))[index]
        return {"rope": rotation, "attn_mask": attn_mask}

    @property
    def _pools_prefix(self) -> bool:
        return self.vit.attn_pool is not None
