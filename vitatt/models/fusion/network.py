"""What every network of this package promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.layers.class_head import ClassHead
from vitatt.ranges import Range, Ranges
from vitatt.types import LesionBatch, LesionOutput


class TokenLayout(NamedTuple):
    """What an attention layer's sequence is made of, in this order.

    Attributes:
        prefix: Class token, then any register or distillation tokens.
        patches: Patch tokens.
        metadata: Metadata tokens.
    """

    prefix: int
    patches: int
    metadata: int = 0

    @property
    def length(self) -> int:
        """Tokens in all."""
        return sum(self)


class LesionNetwork(nn.Module, ABC):
    """A network from a batch to logits, made by calling its class with an encoder and a task.

    Attributes:
        encoder: The image encoder; None in a network that sees no image.
        cardinalities: K_f of each metadata feature it sees; empty in one that sees none.
        head: From the embedding to the logits.
        ranges: Of the numbers among the arguments that users set, for all networks.
    """

    ranges: ClassVar[Ranges] = {
        "depth": Range(least=0),
        "join_at": Range(least=0),
        "num_heads": Range(least=1),
        "hidden": Range(least=1),
        "bottlenecks": Range(least=1),
        "dropout": Range(least=0, below=1),
        "metadata_dropout": Range(least=0, below=1),
        "metadata_dropout_all": Range(least=0, below=1),
    }
    encoder: ImageEncoder | None
    cardinalities: tuple[int, ...]
    head: ClassHead

    @abstractmethod
    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and embedding of a batch."""

    @property
    def layouts(self) -> list[TokenLayout]:
        """The sequence of each attention layer, in the order they run; empty without attention.

        The class token comes first in every one, and the logits read it from the last.
        """
        return []

    @property
    def last_layer(self) -> nn.Module:
        """The last attention layer, called with the tokens (B, N, D) first.

        Raises:
            NotImplementedError: If the network has no attention.
        """
        raise NotImplementedError(f"{type(self).__name__} has no attention layer.")

    @property
    def image_blocks(self) -> int:
        """The lower blocks of the encoder through which nothing but the image passes."""
        return 0 if self.encoder is None else self.encoder.num_blocks

    @property
    def encodes_alone(self) -> bool:
        """Whether the encoder sees nothing but the image, so that its tokens can stand for it."""
        return self.encoder is not None and self.image_blocks == self.encoder.num_blocks

    @property
    def cached_blocks(self) -> int:
        """The lower blocks whose tokens can be computed before the training.

        They are frozen, and nothing but the image passes through them.
        """
        return 0 if self.encoder is None else min(self.encoder.frozen_blocks, self.image_blocks)

    @property
    def map_layer(self) -> tuple[nn.Module, TokenLayout]:
        """The last layer that reads a map of patches, called with it first, and what it is given.

        The last attention layer; without one, the encoder's last part.
        """
        if self.layouts:
            return self.last_layer, self.layouts[-1]
        assert self.encoder is not None
        layout = TokenLayout(self.encoder.last_prefix, self.encoder.num_patches)
        return self.encoder.last_block, layout

    def encoder_layouts(self) -> list[TokenLayout]:
        """The layouts of the image encoder's own layers; empty if they do not attend."""
        if self.encoder is None or not self.encoder.attends:
            return []
        layout = TokenLayout(self.encoder.num_prefix, self.encoder.num_patches)
        return [layout] * self.encoder.num_blocks
