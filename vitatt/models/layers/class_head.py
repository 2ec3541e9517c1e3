"""The last linear layer of every network."""

from __future__ import annotations

from torch import Tensor, nn


class ClassHead(nn.Linear):
    """A linear layer whose logits sum to zero.

    Softmax and loss do not change if a constant is added to all logits, so that training does not
    determine their mean, and an explanation of one logit would depend on it. Centred, the logit of
    a class is its difference to the mean of all classes.
    """

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (..., C) of an embedding (..., E)."""
        logits = super().forward(embedding)
        return logits - logits.mean(dim=-1, keepdim=True)
