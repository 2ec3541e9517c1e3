"""Base class of all networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import nn

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.layers.class_head import ClassHead
from vitatt.ranges import Range, Ranges
from vitatt.types import LesionBatch, LesionOutput


class TokenLayout(NamedTuple):
    """Number of tokens of each kind in an attention layer's sequence, in its order.

    Attributes:
        prefix: Class token, then any register or distillation tokens.
        patches: Patch tokens.
        metadata: Metadata tokens.
        views: Sequences of a case, one for each of its views; those of a case follow one another
            in the batch.
    """

    prefix: int
    patches: int
    metadata: int = 0
    views: int = 1

    @property
    def sizes(self) -> list[int]:
        """Number of tokens of each kind."""
        return [self.prefix, self.patches, self.metadata]

    @property
    def length(self) -> int:
        """Number of all tokens of a sequence."""
        return sum(self.sizes)

    @property
    def offset(self) -> int:
        """Number of tokens before the patches, counted from the class token, that are not there."""
        return 0

    @property
    def pools(self) -> bool:
        """Whether the class token is the only query, and not itself among the tokens."""
        return False


class ClasslessLayout(TokenLayout):
    """The sequence of a layer without class token: register tokens and patches."""

    @property
    def offset(self) -> int:
        """The class token is not there."""
        return 1


class PoolLayout(ClasslessLayout):
    """The tokens to which the class token attends in an attention pool, without itself."""

    @property
    def pools(self) -> bool:
        """The class token is the only query."""
        return True


class LesionNetwork(nn.Module, ABC):
    """A network that computes logits of a batch; its class is called with an encoder and a task.

    Attributes:
        encoder: The image encoder; None in a network without image input.
        cardinalities: K_f of each metadata feature; empty in a network without metadata input.
        head: Linear layer from the embedding to the logits.
        ranges: Ranges of numeric arguments, by name, for all networks.
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
    def grid_size(self) -> tuple[int, int]:
        """Rows and columns of all patches of a case, whose views lie one below the other."""
        assert self.encoder is not None
        rows, columns = self.encoder.grid_size
        return self.encoder.views * rows, columns

    @property
    def layouts(self) -> list[TokenLayout]:
        """The sequence of each attention layer, first layer first; empty without attention.

        The class token is the first token of every sequence, and the logits depend on that of the
        last layer.
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
        """Number of lower encoder blocks that process image tokens only."""
        return 0 if self.encoder is None else self.encoder.num_blocks

    @property
    def encodes_alone(self) -> bool:
        """Whether all encoder blocks process image tokens only, so that these can be cached."""
        return self.encoder is not None and self.image_blocks == self.encoder.num_blocks

    @property
    def cached_blocks(self) -> int:
        """Number of lower blocks whose tokens can be computed before the training.

        They are frozen and process image tokens only.
        """
        return 0 if self.encoder is None else min(self.encoder.frozen_blocks, self.image_blocks)

    @property
    def map_layer(self) -> tuple[nn.Module, TokenLayout]:
        """The last layer whose first input holds the patch tokens, and the layout of that input.

        It is the last attention layer; without attention, the encoder's last part.
        """
        if self.layouts:
            return self.last_layer, self.layouts[-1]
        assert self.encoder is not None
        encoder = self.encoder
        layout = TokenLayout(encoder.last_prefix, encoder.num_patches, views=encoder.views)
        return encoder.last_block, layout

    def encoder_layouts(self) -> list[TokenLayout]:
        """The layouts of the image encoder's own attention layers; empty without attention."""
        encoder = self.encoder
        if encoder is None or not encoder.attends:
            return []
        prefix, patches, views = encoder.num_prefix, encoder.num_patches, encoder.views
        if encoder.class_token == "token":
            return [TokenLayout(prefix, patches, views=views)] * encoder.num_blocks
        inside: TokenLayout = ClasslessLayout(prefix - 1, patches, views=views)
        pool = PoolLayout(encoder.last_prefix, patches, views=views)
        pools = encoder.class_token == "attention"
        return [inside] * encoder.num_blocks + [pool] * pools
