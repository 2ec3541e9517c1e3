"""The difference of two logits as a network, so that every method can explain it."""

from __future__ import annotations

from torch import nn

from vitatt.models.fusion.network import LesionNetwork, TokenLayout
from vitatt.types import LesionBatch, LesionOutput


class ContrastNetwork(LesionNetwork):
    """A network whose logits are those of another one, less its logit of one class.

    To explain the logit of class a is then to explain ``logit_a - logit_b``: why a and not b.

    Args:
        network: The network; it stays as it is.
        other: Index of class b.
    """

    def __init__(self, network: LesionNetwork, other: int) -> None:
        super().__init__()
        self.network = network
        self.other = other
        self.encoder = network.encoder
        self.cardinalities = network.cardinalities
        self.head = network.head
        self.train(network.training)

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Return the advantage (B, C) of each class over the other one, and the embedding."""
        logits, embedding, _ = self.network(batch)
        return LesionOutput(logits - logits[:, self.other : self.other + 1], embedding)

    @property
    def layouts(self) -> list[TokenLayout]:
        """Those of the network."""
        return self.network.layouts

    @property
    def last_layer(self) -> nn.Module:
        """That of the network."""
        return self.network.last_layer

    @property
    def image_blocks(self) -> int:
        """Those of the network."""
        return self.network.image_blocks

    @property
    def map_layer(self) -> tuple[nn.Module, TokenLayout]:
        """That of the network."""
        return self.network.map_layer
