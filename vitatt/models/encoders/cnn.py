"""Image encoder: a timm EfficientNet, whose patch tokens are the positions of its last map."""

from __future__ import annotations

import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from vitatt.models.encoders.base import EncoderError, ImageEncoder

_HEAD_DIM = 64


class CNNEncoder(ImageEncoder):
    """Pixels to the positions of the last feature map, row by row, and before them their mean.

    The mean, which is the input of the network's own classifier, serves as class token. A patch is
    the square of pixels at a position of the map, whose receptive field is larger.

    Args:
        cnn: The network, with its weights.
        name: Its name, for messages.
        image_size: Side of the square input, in pixels.
        frozen: See `ImageEncoder`; blocks are stages.
        gradient_checkpointing: Must be False.

    Raises:
        EncoderError: If the image is not made of whole patches, there are fewer blocks than are to
            be frozen, or `gradient_checkpointing` is True.
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
        """The layer that averages the last map, called with its positions (B, P, D)."""
        return self.prepend_mean

    def token_shape(self, blocks: int) -> tuple[int, int]:
        """The shape (N, D) of the map's positions after a number of stages."""
        if blocks == self.num_blocks:
            return 1 + self.num_patches, self.dim
        channels, height, width = self._map_shapes[blocks]
        return height * width, channels

    def embed(self, image: Tensor) -> Tensor:
        """Input map (B, C, h, w) of the first stage for pixels (B, 3, H, W)."""
        return self.cnn.bn1(self.cnn.conv_stem(self._normalised(image)))

    def run_block(self, index: int, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Output of a stage, which has no attention."""
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
        """Channels, height and width of each stage's input map, and of the last output."""
        self.eval()  # in training mode, the image would change the batch statistics
        x = self.embed(torch.zeros(1, 3, image_size, image_size))
        shapes = [(x.shape[1], x.shape[2], x.shape[3])]
        for index in range(self.num_blocks):
            x = self.run_block(index, x)
            shapes.append((x.shape[1], x.shape[2], x.shape[3]))
        self.train()
        return shapes


class PrependMean(nn.Module):
    """Prepends the mean of all positions to them."""

    def forward(self, positions: Tensor) -> Tensor:
        """Tokens (B, 1 + P, D) from positions (B, P, D)."""
        return torch.cat([positions.mean(dim=1, keepdim=True), positions], dim=1)
