"""The last linear layer of every network."""

from __future__ import annotations

from torch import Tensor, nn


class ClassHead(nn.Linear):
    """A linear layer whose logits add up to zero.

    A softmax takes no notice of what is added to all logits alike, so training leaves that part of
    them to chance: a network may as well lower every other class as raise the right one. What
    explains "the logit of a class" would then explain an accident. Centred, a class's logit is its
    advantage over the mean of all classes; probabilities and losses stay as they are.
    """

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (..., C) of an embedding (..., E)."""
        logits = super().forward(embedding)
        return logits - logits.mean(dim=-1, keepdim=True)
