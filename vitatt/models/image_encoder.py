"""A timm vision transformer as a source of class and patch tokens."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from timm.models import load_state_dict
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitatt.types import UsageError

BlockHook = Callable[[int, Tensor], Tensor]


class EncoderError(UsageError):
    """An encoder or its weights that cannot be used; the message says why and what to do."""


class ImageEncoder(nn.Module):
    """Pixels to class token and patch tokens.

    Args:
        name: A timm vision transformer, such as ``vit_small_patch14_dinov2``.
        image_size: Side of the square input, in pixels; position embeddings are resampled to it.
        weights: Path of a weights file, ``hub`` to download timm's own, or None to start at random.
        frozen: Keep all weights as they are, in evaluation mode, or those of so many lower blocks
            and what comes before them.
        gradient_checkpointing: Compute each block's activations again in the backward pass.

    Attributes:
        dim: Width D of the tokens.
        num_prefix: Tokens before the patches: class token, then register or distillation tokens.
        grid_size: Rows and columns of patches.
        frozen_blocks: Lower blocks that keep their weights.
        given_blocks: Blocks that tokens given in the place of pixels have been through; all, with
            the norm after them, unless set.

    Raises:
        EncoderError: If the name is no timm vision transformer with a class token, or the weights
            do not fit, or there are not so many blocks to freeze.
    """

    def __init__(
        self,
        name: str,
        *,
        image_size: int,
        weights: str | None = None,
        frozen: bool | int = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.vit = _create(name, weights)
        patch = self.vit.patch_embed.patch_size[0]
        if image_size % patch:
            nearest = max(1, round(image_size / patch)) * patch
            raise EncoderError(
                f"Expected `data.image_size` to be a multiple of the patch size {patch} of {name}, "
                f"but got {image_size}; {nearest} would do."
            )
        self.vit.set_input_size(img_size=(image_size, image_size))
        self.dim: int = self.vit.embed_dim
        self.num_heads: int = self.vit.blocks[0].attn.num_heads
        self.num_prefix: int = self.vit.num_prefix_tokens
        self.grid_size: tuple[int, int] = self.vit.patch_embed.grid_size
        self.num_blocks = len(self.vit.blocks)
        self.frozen_blocks = self.num_blocks * frozen if isinstance(frozen, bool) else frozen
        if not 0 <= self.frozen_blocks <= self.num_blocks:
            raise EncoderError(
                f"Expected `model.freeze_encoder` to be true, false, or a number of blocks up to "
                f"the {self.num_blocks} of {name}, but got {frozen}."
            )
        self.given_blocks = self.num_blocks
        self.gradient_checkpointing = gradient_checkpointing
        data = timm.data.resolve_model_data_config(self.vit)
        # Pixels arrive as uint8: the statistics are those of the 0..1 range, times 255.
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(data["std"]).view(1, 3, 1, 1) * 255)
        self.mean: Tensor
        self.std: Tensor
        if self.frozen_blocks:
            self.requires_grad_(False)
            for part in self._learning_parts():
                part.requires_grad_(True)
            self.train()

    @property
    def num_patches(self) -> int:
        """Number of patch tokens P."""
        return self.grid_size[0] * self.grid_size[1]

    @property
    def last_block(self) -> nn.Module:
        """The last transformer block."""
        return self.vit.blocks[-1]

    @property
    def frozen(self) -> bool:
        """Whether nothing in it learns."""
        return self.frozen_blocks == self.num_blocks

    def train(self, mode: bool = True) -> ImageEncoder:
        """Training mode, which what is frozen ignores."""
        if not self.frozen_blocks:
            return super().train(mode)
        super().train(False)
        for part in self._learning_parts():
            part.train(mode)
        return self

    def forward(self, image: Tensor, at_block: BlockHook | None = None) -> Tensor:
        """Tokens after the last block and its norm, (B, num_prefix + P, D).

        Args:
            image: Pixels (B, 3, H, W), 0 to 255; or tokens (B, num_prefix + P, D) that its lower
                `given_blocks` computed before, see `tokens_after`.
            at_block: Runs in place of block ``index`` on its tokens, ``at_block(index, tokens)``;
                by default the block itself does.
        """
        run = at_block or self.run_block
        if image.ndim == 3:
            tokens = image.to(self.vit.cls_token.dtype)
            return self._pass(tokens, self.given_blocks, self.num_blocks, run)
        return self._pass(self.embed(image), 0, self.num_blocks, run)

    def tokens_after(self, image: Tensor, blocks: int) -> Tensor:
        """Tokens of pixels (B, 3, H, W) after the lower `blocks`, and after the norm if all."""
        return self._pass(self.embed(image), 0, blocks, self.run_block)

    def embed(self, image: Tensor) -> Tensor:
        """Tokens before the first block, (B, num_prefix + P, D), of pixels (B, 3, H, W)."""
        pixels = (image.to(self.mean.dtype) - self.mean) / self.std
        tokens = self.vit.patch_embed(pixels)
        tokens = self.vit._pos_embed(tokens)
        return self.vit.norm_pre(self.vit.patch_drop(tokens))

    def run_block(self, index: int, tokens: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """One transformer block; `attn_mask` is True where a key may be attended to."""
        block = self.vit.blocks[index]
        if self.gradient_checkpointing and block.training:
            return checkpoint(block, tokens, attn_mask=attn_mask, use_reentrant=False)
        return block(tokens, attn_mask=attn_mask)

    def _pass(self, tokens: Tensor, start: int, stop: int, run: BlockHook) -> Tensor:
        """Tokens through the blocks from `start` to before `stop`, and the norm after the last."""
        for index in range(start, stop):
            tokens = run(index, tokens)
        return self.vit.norm(tokens) if start < stop == self.num_blocks else tokens

    def _learning_parts(self) -> list[nn.Module]:
        """What is above the frozen blocks."""
        if self.frozen:
            return []
        return [*self.vit.blocks[self.frozen_blocks :], self.vit.norm]


def _create(name: str, weights: str | None) -> VisionTransformer:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models())
        close = close or difflib.get_close_matches(name, timm.list_models("vit_*"), cutoff=0)
        raise EncoderError(
            f"timm has no model named '{name}'. Did you mean one of {', '.join(close)}?"
        )
    try:
        vit = timm.create_model(name, pretrained=weights == "hub", num_classes=0)
    except Exception as error:
        if weights != "hub":
            raise
        # Whatever a download can fail with (no network, no such weights), the way out is the same.
        raise EncoderError(
            f"The weights of '{name}' could not be downloaded ({type(error).__name__}: {error}). "
            "Download them elsewhere and name the file as `model.encoder_weights`."
        ) from error
    if not isinstance(vit, VisionTransformer):
        raise EncoderError(
            f"Expected `model.encoder` to be a vision transformer of timm, but '{name}' is a "
            f"{type(vit).__name__}. Attention fusion needs tokens: choose a model such as "
            "vit_small_patch16_224, deit_small_patch16_224 or vit_small_patch14_dinov2."
        )
    if vit.cls_token is None:
        raise EncoderError(
            f"'{name}' has no class token, which attention fusion reads. Choose one that has, such "
            "as vit_small_patch16_224 or vit_small_patch14_dinov2."
        )
    if weights and weights != "hub":
        _load_weights(vit, name, Path(weights).expanduser())
    return vit


def _load_weights(vit: VisionTransformer, name: str, path: Path) -> None:
    if not path.is_file():
        raise EncoderError(
            f"The weights file {path} does not exist. Name a file as `model.encoder_weights`, or "
            "`hub` to download them."
        )
    try:
        state = load_state_dict(str(path), use_ema=False, device="cpu")
    except Exception as error:  # the reader raises what it likes: pickle, zip, safetensors, OS
        raise EncoderError(f"{path} is no weights file that can be read: {error}") from error
    # A published file may hold a classification head, which the fusion replaces.
    state = {
        key: value for key, value in state.items() if not key.startswith(("head.", "head_dist."))
    }
    if strangers := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise EncoderError(f"{path} is no weights file: {strangers[0]} is no tensor.")
    own = vit.state_dict()
    lacking = [key for key in own if key not in state]
    strange = [key for key in state if key not in own]
    differing = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if lacking or strange or differing:
        raise EncoderError(
            f"{path} does not hold the weights of '{name}': {_some('lacks', lacking)}; "
            f"{_some('has unknown', strange)}; {_some('has the wrong shape for', differing)}. "
            "Name the encoder that the file was made for as `model.encoder`."
        )
    vit.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})


def _some(what: str, keys: list[str]) -> str:
    return f"{what} {len(keys)} tensors" + (f" ({', '.join(keys[:3])}, ...)" if keys else "")
