"""Losses with class weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitatt.types import UsageError

ClassWeights = Literal["balanced", "sqrt", "effective", "none"]


def class_weights(counts: Sequence[int], kind: ClassWeights, *, beta: float = 0.999) -> Tensor:
    """A weight for each class from its number of training cases.

    ``balanced`` is n / (K n_c); ``sqrt`` its square root; ``effective`` is (1 - beta) /
    (1 - beta^n_c) (Cui et al., CVPR 2019, eq. 3 and 4) scaled to a mean of 1; ``none`` is 1.

    Args:
        counts: Training cases of each class, all positive, (C,).
        kind: Formula of the weights.
        beta: Parameter of the effective number of samples.

    Returns:
        Weights, (C,) float32.

    Raises:
        UsageError: If a class has no case.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    if (n <= 0).any():
        raise UsageError(f"Expected argument `counts` to be positive, but got {list(counts)}.")
    balanced = n.sum() / (len(n) * n)
    effective = (1 - beta) / (1 - beta**n)
    weights = {
        "balanced": balanced,
        "sqrt": balanced.sqrt(),
        "effective": effective / effective.mean(),
        "none": torch.ones_like(n),
    }
    return weights[kind].float()


class WeightedLoss(nn.Module):
    """Cross-entropy or focal loss, with class weights and label smoothing.

    The focal loss is ``(1 - p_t)^gamma`` times the cross-entropy (Lin et al., ICCV 2017, eq. 4).
    It is divided by the number of cases, not by the sum of their weights as in
    `torch.nn.CrossEntropyLoss`. So the mean over batches, accumulated steps or processes of equal
    size is the loss of all their cases, and the contribution of a case does not depend on the other
    cases of its batch.

    Args:
        weight: A weight for each class, (C,).
        gamma: Focusing parameter; 0 is plain cross-entropy.
        label_smoothing: Probability mass spread over all classes; only without focusing.

    Raises:
        UsageError: If `gamma` is negative, or both `gamma` and `label_smoothing` are set.
    """

    weight: Tensor

    def __init__(self, weight: Tensor, *, gamma: float = 0.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if gamma < 0:
            raise UsageError(f"Expected argument `gamma` to be at least 0, but got {gamma}.")
        if gamma and label_smoothing:
            raise UsageError(
                f"Expected one of `gamma` and `label_smoothing` to be 0, but got {gamma} and "
                f"{label_smoothing}: the focal loss is defined for hard labels."
            )
        self.register_buffer("weight", weight)
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean loss of logits (B, C) against classes (B,)."""
        if not self.gamma:
            loss = F.cross_entropy(
                logits,
                target,
                weight=self.weight.to(logits.dtype),  # a `*-true` precision casts buffers
                label_smoothing=self.label_smoothing,
                reduction="sum",
            )
            return loss / len(target)
        log_p = F.log_softmax(logits, dim=-1).gather(1, target.unsqueeze(1)).squeeze(1)
        # 1 - p without cancellation, and above 0, where powers below 1 have no derivative.
        focus = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).eps) ** self.gamma
        return -(self.weight[target] * focus * log_p).mean()
