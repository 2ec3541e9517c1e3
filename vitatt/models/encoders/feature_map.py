"""Image encoder: a timm CNN or Swin transformer, whose last map has the patch tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vitatt.models.encoders.base import EncoderError, ImageEncoder
from vitatt.models.encoders.input_size import set_input_size
from vitatt.models.encoders.prepend_mean import PrependMean
from vitatt.models.encoders.stages import Division

_HEAD_DIM = 64


class FeatureMapEncoder(ImageEncoder):
    """Pixels to the positions of the last feature map, row by row, and before them their mean.

    The mean, which is the input of the network's own classifier, serves as class token. If the
    network normalises it, as ConvNeXt does, all tokens are normalised. A patch is the square of
    pixels at a position of the map, whose receptive field is larger.

    Args:
        cnn: The network, with its weights.
        division: Its stages.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels.
        frozen: See `ImageEncoder`; blocks are stages.
        gradient_checkpointing: Compute each stage's activations again in the backward pass.

    Raises:
        EncoderError: If the image is not made of whole patches, there are fewer stages than are to
            be frozen, or `gradient_checkpointing` is True and the network has batch normalisation.
    """

    attends = False
    class_token = "mean"
    num_prefix = 1
    last_prefix = 0

    def __init__(
        self,
        cnn: Any,
        division: Division,
        name: str,
        *,
        image_size: int,
        frozen: bool | int = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(name, cnn, num_blocks=len(division.stages_of(cnn)), frozen=frozen)
        if gradient_checkpointing and any(isinstance(one, _BatchNorm) for one in cnn.modules()):
            raise EncoderError(
                f"Expected `model.gradient_checkpointing` to be false, but got true: {name} would "
                "count each batch twice in its batch normalisation. It is for transformers, and "
                "networks without batch normalisation such as convnext_tiny."
            )
        stride = cnn.feature_info[-1]["reduction"]
        if image_size % stride:
            nearest = max(1, round(image_size / stride)) * stride
            raise EncoderError(
                f"Expected `data.image_size` to be a multiple of the stride {stride} of {name}, "
                f"but got {image_size}; {nearest} would do."
            )
        if hasattr(cnn, "set_input_size"):
            set_input_size(cnn, image_size)
        # The attribute's name is in checkpoints.
        self.cnn = cnn
        self._division = division
        self.prepend_mean = PrependMean()
        self.dim = cnn.num_features
        self.num_heads = max(1, self.dim // _HEAD_DIM)
        self.grid_size = (image_size // stride, image_size // stride)
        self.gradient_checkpointing = gradient_checkpointing
        self._activations = 0
        self._map_shapes = self._measured(image_size)
        self._freeze()

    @property
    def backbone(self) -> nn.Module:
        """The network."""
        return self.cnn

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The stages."""
        return self._division.stages_of(self.cnn)

    @property
    def closed_to_others(self) -> str:
        """Why no other tokens can join: no stage attends to all positions."""
        return "there is no attention over all patches in it that metadata tokens could join"

    @property
    def last_block(self) -> nn.Module:
        """The layer that averages the last map, called with its positions (B, P, D)."""
        return self.prepend_mean

    @property
    def activations(self) -> int:
        """The numbers in the outputs of all layers for one case."""
        return self._activations

    @property
    def not_decayed(self) -> set[str]:
        """Tables of relative position bias."""
        return set(self.cnn.no_weight_decay()) if hasattr(self.cnn, "no_weight_decay") else set()

    def token_shape(self, blocks: int) -> tuple[int, int]:
        """The shape (N, D) of the map's positions after a number of stages."""
        if blocks == self.num_blocks:
            return 1 + self.num_patches, self.dim
        channels, height, width = self._map_shapes[blocks]
        return height * width, channels

    def embed(self, image: Tensor) -> Tensor:
        """Input map of the first stage for pixels (B, 3, H, W)."""
        x = self._normalised(image)
        for layer in self._division.layers_of(self.cnn, self._division.stem):
            x = layer(x)
        return x

    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Output of a stage, which has no attention to all positions."""
        assert attn_mask is None
        stage = self.blocks[index]
        if self.gradient_checkpointing and stage.training:
            return checkpoint(stage, x, use_reentrant=False)
        return stage(x)

    def _finish(self, x: Tensor) -> Tensor:
        for layer in self._division.layers_of(self.cnn, self._division.top):
            x = layer(x)
        tokens = self.prepend_mean(self._to_tokens(x))
        for norm in self._pooled_norms:  # timm's are for maps (B, D, h, w)
            tokens = norm(tokens.transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2)
        return tokens

    def _to_tokens(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2) if self._division.channels_last else x.flatten(2).transpose(1, 2)

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        size = self._map_shapes[self.given_blocks][1:]
        if self._division.channels_last:
            return tokens.unflatten(1, size)
        return tokens.transpose(1, 2).unflatten(2, size)

    def _parts_above(self) -> list[nn.Module]:
        top = self._division.layers_of(self.cnn, self._division.top)
        return [*self.blocks[self.frozen_blocks :], *top, *self._pooled_norms]

    @property
    def _pooled_norms(self) -> list[nn.Module]:
        return self._division.pooled_norms_of(self.cnn)

    @torch.no_grad()
    def _measured(self, image_size: int) -> list[tuple[int, int, int]]:
        """Channels, height and width of each stage's input map, and of the last output."""

        def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
            del module, inputs
            self._activations += output.numel()

        layers = [module for module in self.cnn.modules() if not any(module.children())]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        self.eval()  # in training mode, the image would change the batch statistics
        x = self.embed(torch.zeros(1, 3, image_size, image_size))
        shapes = [self._shape(x)]
        for index in range(self.num_blocks):
            x = self.run_block(index, x)
            shapes.append(self._shape(x))
        for hook in hooks:
            hook.remove()
        self.train()
        return shapes

    def _shape(self, x: Tensor) -> tuple[int, int, int]:
        _, channels, height, width = (
            x.movedim(-1, 1).shape if self._division.channels_last else x.shape
        )
        return channels, height, width
