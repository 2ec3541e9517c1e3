"""The last linear layer of every network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClassHead(nn.Linear):
    """A linear layer whose logits sum to zero, divided by a temperature in evaluation mode.

    Softmax and loss do not change if a constant is added to all logits, so that training does not
    determine their mean, and an explanation of one logit would depend on it. Centred, the logit of
    a class is its difference to the mean of all classes.

    The temperature calibrates the probabilities of a trained model (Guo et al., ICML 2017, section
    4.2); it is 1 until it is fitted.

    Args:
        in_features: Width E of the embedding.
        out_features: Number of classes C.

    Attributes:
        temperature: Scalar.
    """

    temperature: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits (..., C) of an embedding (..., E)."""
        return self.calibrated(super().forward(embedding))

    def calibrated(self, logits: Tensor) -> Tensor:
        """Logits (..., C), centred, and in evaluation mode divided by the temperature."""
        logits = logits - logits.mean(dim=-1, keepdim=True)
        return logits if self.training else logits / self.temperature
