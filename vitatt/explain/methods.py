"""Explanation methods behind one call."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vitatt.explain.attention import (
    AttentionCall,
    attention_gradient,
    attention_probabilities,
    recorded_forward,
)
from vitatt.explain.tmme import ClassRow, carry, head_relevance
from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch

Method = Literal["tmme", "attention"]


class Relevance(NamedTuple):
    """Relevance of a batch, for K classes a case.

    Attributes:
        patches: (B, K, h, w), not negative.
        features: (B, K, F), not negative; one column if all features share a token, none if the
            network sees no metadata.
        logits: (B, C) of the forward pass.
    """

    patches: Tensor
    features: Tensor
    logits: Tensor

    @property
    def image_share(self) -> Tensor:
        """Share of the image in all relevance, (B, K), between 0 and 1; NaN where all is 0."""
        image = self.patches.sum((-2, -1))
        return image / (image + self.features.sum(-1))


def explain(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, *, method: Method = "tmme"
) -> Relevance:
    """Relevance of each patch and metadata feature for chosen classes.

    Args:
        network: Any network with attention over patches; left as it was.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K) int64.
        method: ``tmme`` (see `vitatt.explain.tmme`), or ``attention``: the class token's
            probabilities in the last layer, mean over heads, which no class enters.

    Raises:
        ValueError: If the network has no attention, or `target` is no (B, K) matrix of classes.
    """
    if target.ndim != 2 or len(target) != len(batch.target) or not target.numel():
        raise ValueError(
            f"Expected argument `target` to have shape ({len(batch.target)}, K), but got "
            f"{tuple(target.shape)}."
        )
    encoder = network.encoder
    with recorded_forward(network, batch) as (logits, calls):
        if not 0 <= int(target.min()) <= int(target.max()) < logits.shape[1]:
            raise ValueError(
                f"Expected argument `target` to hold classes 0 to {logits.shape[1] - 1}, but got "
                f"values from {int(target.min())} to {int(target.max())}."
            )
        if method == "tmme":
            target = target.clone()  # an inference tensor cannot take part in a graph
            rows = [
                _tmme(logits, calls, classes, last=number == target.shape[1] - 1)
                for number, classes in enumerate(target.unbind(1))
            ]
        else:
            rows = [_last_attention(calls[-1])] * target.shape[1]
    assert encoder is not None
    return Relevance(
        patches=torch.stack([row.patches.unflatten(1, encoder.grid_size) for row in rows], dim=1),
        features=torch.stack([row.metadata for row in rows], dim=1),
        logits=logits.detach(),
    )


def _tmme(logits: Tensor, calls: list[AttentionCall], classes: Tensor, *, last: bool) -> ClassRow:
    """Carry the class row down while the gradients arrive, last layer first."""
    # Cases do not mix in evaluation mode, so the gradient of the sum is each case's own.
    chosen = logits.gather(1, classes.unsqueeze(1)).sum()
    outputs = [call.output for call in calls]
    gradients = torch.autograd.grad(chosen, outputs, retain_graph=not last)
    with torch.no_grad():
        first = attention_gradient(calls[-1], gradients[-1])
        row = ClassRow.start(first, [call.layout for call in calls])
        for call, gradient in zip(reversed(calls), reversed(gradients), strict=True):
            relevance = head_relevance(
                attention_probabilities(call), attention_gradient(call, gradient)
            )
            row = carry(row, relevance, call.layout)
    return row


def _last_attention(call: AttentionCall) -> ClassRow:
    with torch.no_grad():
        attention = attention_probabilities(call)[:, :, 0].mean(dim=1)
    return ClassRow(*attention.split(list(call.layout), dim=1))
