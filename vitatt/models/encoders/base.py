"""Base class of image encoders, from pixels to a class token and patch tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.types import Pixels, Tokens, UsageError, split_views

BlockHook = Callable[[int, Tensor], Tensor]
ClassToken = Literal["token", "attention", "mean"]
"""How the class token is computed, see `ImageEncoder`."""


class EncoderError(UsageError):
    """An encoder or its weights that cannot be used; the message says why and what to do."""


class ImageEncoder(nn.Module, ABC):
    """Pixels to class token and patch tokens; made by `make_encoder`.

    Args:
        name: timm's name of the network, for messages.
        network: The timm network, whose configuration has the mean and deviation of pixels.
        num_blocks: Number of blocks, which are frozen from the lowest up.
        frozen: Freeze all weights and use evaluation mode; or freeze this number of lower blocks
            and the layers before them.

    Attributes:
        attends: Whether each block is a self-attention layer over all patch tokens, as in a vision
            transformer; explanations read these layers.
        class_token: ``token`` if the class token is in the sequence of all blocks; else it is
            computed from the last block's output, by an attention layer in which it is the only
            query (``attention``), or as the mean of the patch tokens (``mean``).
        dim: Width D of the tokens.
        num_heads: Attention heads for tokens of this width.
        num_prefix: Tokens before the patches: class token, then register or distillation tokens.
        grid_size: Rows and columns of the patches of an image.
        frozen_blocks: Number of lower blocks whose weights are frozen.
        given_blocks: Number of blocks that have computed the tokens of a `Tokens` input; all, and
            the norm after them, unless set.
        last_prefix: Tokens before the patches in the input of `last_block`.
        views: Images of a case, V, each of which is encoded by itself.

    Raises:
        EncoderError: If there are fewer blocks than are to be frozen.
    """

    attends: bool
    class_token: ClassToken
    dim: int
    num_heads: int
    num_prefix: int
    grid_size: tuple[int, int]
    last_prefix: int
    views: int = 1
    mean: Tensor
    std: Tensor

    def __init__(
        self, name: str, network: nn.Module, *, num_blocks: int, frozen: bool | int
    ) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.frozen_blocks = num_blocks * frozen if isinstance(frozen, bool) else frozen
        if not 0 <= self.frozen_blocks <= num_blocks:
            raise EncoderError(
                f"Expected `model.freeze_encoder` to be true, false, or a number of blocks up to "
                f"the {num_blocks} of {name}, but got {frozen}."
            )
        self.given_blocks = num_blocks
        data = timm.data.resolve_model_data_config(network)
        # timm's statistics are for pixels from 0 to 1; here they are from 0 to 255.
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(data["std"]).view(1, 3, 1, 1) * 255)

    @property
    def num_patches(self) -> int:
        """Number of patch tokens of an image, P."""
        return self.grid_size[0] * self.grid_size[1]

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The timm network."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The blocks, lowest first; stages of a hierarchical network."""

    @property
    @abstractmethod
    def closed_to_others(self) -> str:
        """Why no other tokens can join the sequence of the blocks; empty if they can."""

    @property
    @abstractmethod
    def last_block(self) -> nn.Module:
        """The last layer that mixes patch tokens into the class token, called with tokens."""

    @property
    def not_decayed(self) -> set[str]:
        """Parameters of the backbone without weight decay, in addition to biases and norms."""
        return set()

    @property
    def activations(self) -> int:
        """About how many numbers a forward pass of one case stores for its gradient."""
        return 10 * self.num_blocks * self.num_patches * self.dim

    @property
    def frozen(self) -> bool:
        """Whether all weights are frozen."""
        return self.frozen_blocks == self.num_blocks

    def train(self, mode: bool = True) -> ImageEncoder:
        """Set training mode, except for frozen parts, which stay in evaluation mode."""
        if not self.frozen_blocks:
            return super().train(mode)
        super().train(False)
        for part in self._learning_parts():
            part.train(mode)
        return self

    def forward(self, image: Pixels | Tokens, at_block: BlockHook | None = None) -> Tensor:
        """Tokens after the last block and its norm, (B, num_prefix + V P, D).

        With several views, the tokens before the patches are means over those that a case has.

        Args:
            image: Pixels, or tokens that the lower `given_blocks` computed beforehand, see
                `tokens_after`.
            at_block: Called as ``at_block(index, x)`` instead of `run_block`.
        """
        if self.views == 1:
            return self._encode(image, at_block)
        each = self._encode(self._each_view(image), at_block).unflatten(0, (-1, self.views))
        shares = self.view_shares(image).to(each.dtype)
        prefix = (shares[..., None, None] * each[:, :, : self.num_prefix]).sum(1)
        return torch.cat([prefix, each[:, :, self.num_prefix :].flatten(1, 2)], dim=1)

    def encoded(self, image: Pixels | Tokens) -> Tokens:
        """Tokens of all blocks, which `forward` takes in place of the image."""
        each = self._encode(self._each_view(image), None)
        if self.views > 1:
            each = each.unflatten(0, (-1, self.views)).flatten(1, 2)
        return Tokens(each, image.absent)

    def view_shares(self, image: Pixels | Tokens) -> Tensor:
        """Weight of each view in the mean of class tokens, (B, V); 0 for an absent one."""
        if image.absent is None:
            size = (len(image.values), self.views)
            return torch.full(size, 1 / self.views, device=image.values.device)
        present = (~image.absent).float()
        return present / present.sum(1, keepdim=True)

    def absent_patches(self, image: Pixels | Tokens) -> Tensor | None:
        """True for patch tokens of absent views, (B, V P) bool; None if all views are there."""
        if image.absent is None:
            return None
        return image.absent.repeat_interleave(self.num_patches, dim=1)

    def absent_tokens(self, image: Pixels | Tokens) -> Tensor | None:
        """`absent_patches` with the tokens before the patches, (B, num_prefix + V P) bool."""
        absent = self.absent_patches(image)
        return None if absent is None else F.pad(absent, (self.num_prefix, 0), value=False)

    def _each_view(self, image: Pixels | Tokens) -> Pixels | Tokens:
        """The views of all cases as images of their own, those of a case next to each other."""
        if self.views == 1:
            return image
        if isinstance(image, Tokens):
            return Tokens(image.values.unflatten(1, (self.views, -1)).flatten(0, 1))
        return Pixels(split_views(image.values, self.views))

    def _encode(self, image: Pixels | Tokens, at_block: BlockHook | None) -> Tensor:
        """Tokens of images, (B, num_prefix + P, D), see `forward`."""
        run = at_block or self.run_block
        if isinstance(image, Pixels):
            x, start = self.embed(image.values), 0
        elif self.given_blocks == self.num_blocks:
            return image.values.to(self.mean.dtype)
        else:
            x, start = self._from_tokens(image.values.to(self.mean.dtype)), self.given_blocks
        for index in range(start, self.num_blocks):
            x = run(index, x)
        return self._finish(x)

    def tokens_after(self, image: Tensor, blocks: int) -> Tensor:
        """Tokens of pixels (B, 3, H, W) after the lower `blocks`, and after the norm if all."""
        x = self.embed(image)
        for index in range(blocks):
            x = self.run_block(index, x)
        return self._finish(x) if blocks == self.num_blocks else self._to_tokens(x)

    def frozen_state(self) -> dict[str, Tensor]:
        """Weights and pixel statistics on which the tokens of the frozen blocks depend, by name."""
        learning = {
            id(tensor)
            for part in self._learning_parts()
            for tensor in (*part.parameters(), *part.buffers())
        }
        every = (*self.named_parameters(), *self.named_buffers())
        return {name: tensor for name, tensor in every if id(tensor) not in learning}

    @abstractmethod
    def token_shape(self, blocks: int) -> tuple[int, int]:
        """The shape (N, D) of `tokens_after` this number of blocks, for one case."""

    @abstractmethod
    def embed(self, image: Tensor) -> Tensor:
        """Input of the first block for pixels (B, 3, H, W)."""

    @abstractmethod
    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Output of a block; `attn_mask` is True where a key may be attended to."""

    @abstractmethod
    def _finish(self, x: Tensor) -> Tensor:
        """Tokens (B, num_prefix + P, D) from the output of the last block."""

    @abstractmethod
    def _to_tokens(self, x: Tensor) -> Tensor:
        """The output of a block as tokens (B, N, D)."""

    @abstractmethod
    def _from_tokens(self, tokens: Tensor) -> Tensor:
        """The input of block `given_blocks` from the tokens of `_to_tokens`."""

    @abstractmethod
    def _parts_above(self) -> list[nn.Module]:
        """Blocks that are not frozen, and the layers after all blocks."""

    def _learning_parts(self) -> list[nn.Module]:
        return [] if self.frozen else self._parts_above()

    def _freeze(self) -> None:
        """Freeze the frozen parts; called at the end of a subclass's constructor."""
        if self.frozen_blocks:
            self.requires_grad_(False)
            for part in self._learning_parts():
                part.requires_grad_(True)
            self.train()

    def _normalised(self, image: Tensor) -> Tensor:
        return (image.to(self.mean.dtype) - self.mean) / self.std
