"""A timm EfficientNet as a source of patch tokens: the positions of its last feature map."""

from __future__ import annotations

import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from vitatt.models.encoders.base import EncoderError, ImageEncoder

_HEAD_DIM = 64


class CNNEncoder(ImageEncoder):
    """Pixels to the positions of a feature map, row by row, and before them their mean.

    The mean is what the network's own classifier reads, and stands in the place of a class token.
    A patch is the square of pixels that lies under a position; the map sees more than that.

    Args:
        cnn: The network, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels.
        frozen: See `ImageEncoder`; blocks are stages.
        gradient_checkpointing: Must be False.

    Raises:
        EncoderError: If the image is not made of whole patches, there are not so many blocks to
            freeze, or activations were not to be kept.
    """

    attends = False
    num_prefix = 1
    last_prefix = 0

    def __init__(
        self,
        cnn: EfficientNet,
        name: str,
        *,
        image_size: int,
        frozen: bool | int = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(name, cnn, num_blocks=len(cnn.blocks), frozen=frozen)
        if gradient_checkpointing:
            raise EncoderError(
                f"Expected `model.gradient_checkpointing` to be false, but got true: {name} would "
                "count each batch twice in its batch normalisation. It is for transformers."
            )
        stride = cnn.feature_info[-1]["reduction"]
        if image_size % stride:
            nearest = max(1, round(image_size / stride)) * stride
            raise EncoderError(
                f"Expected `data.image_size` to be a multiple of the stride {stride} of {name}, "
                f"but got {image_size}; {nearest} would do."
            )
        self.cnn = cnn
        self.prepend_mean = PrependMean()
        self.dim = cnn.num_features
        self.num_heads = max(1, self.dim // _HEAD_DIM)
        self.grid_size = (image_size // stride, image_size // stride)
        self._map_shapes = self._measured(image_size)
        self._freeze()

    @property
    def backbone(self) -> nn.Module:
        """The EfficientNet."""
        return self.cnn

    @property
    def last_block(self) -> nn.Module:
        """What takes the mean of the last map, called with its positions (B, P, D)."""
        return self.prepend_mean

    def token_shape(self, blocks: int) -> tuple[int, int]:
        """Lower stages have more positions and fewer channels."""
        if blocks == self.num_blocks:
            return 1 + self.num_patches, self.dim
        channels, height, width = self._map_shapes[blocks]
        return height * width, channels

    def embed(self, image: Tensor) -> Tensor:
        """The map (B, C, h, w) that enters the first stage, of pixels (B, 3, H, W)."""
        return self.cnn.bn1(self.cnn.conv_stem(self._normalised(image)))

    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """One stage, in which nothing is attended to."""
        assert attn_mask is None
        return self.cnn.blocks[index](x)

    def _finish(self, x: Tensor) -> Tensor:
        return self.prepend_mean(self._to_tokens(self.cnn.bn2(self.cnn.conv_head(x))))

    def _to_tokens(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)

    def _from_tokens(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2).unflatten(2, self._map_shapes[self.given_blocks][1:])

    def _parts_above(self) -> list[nn.Module]:
        return [*self.cnn.blocks[self.frozen_blocks :], self.cnn.conv_head, self.cnn.bn2]

    @torch.no_grad()
    def _measured(self, image_size: int) -> list[tuple[int, int, int]]:
        """Channels, height and width of the map that enters each stage, and of the last."""
        self.eval()  # a blank image must not enter the statistics
        x = self.embed(torch.zeros(1, 3, image_size, image_size))
        shapes = [(x.shape[1], x.shape[2], x.shape[3])]
        for index in range(self.num_blocks):
            x = self.run_block(index, x)
            shapes.append((x.shape[1], x.shape[2], x.shape[3]))
        self.train()
        return shapes


class PrependMean(nn.Module):
    """The mean of all positions in front of them."""

    def forward(self, positions: Tensor) -> Tensor:
        """(B, P, D) to (B, 1 + P, D)."""
        return torch.cat([positions.mean(dim=1, keepdim=True), positions], dim=1)
