"""TMME: relevance of tokens from attention and its gradients, carried to the class token's row.

Source: Chefer, Gur, Wolf, "Generic attention-model explainability for interpreting bi-modal and
encoder-decoder transformers", ICCV 2021, eq. 5 and 6, as ViTAtt (arXiv 2304.14505) applies them to
image and metadata tokens in one self-attention.

The rule is R = I, then R <- R + Abar_l R from the first layer to the last, and the class token's
row of R is read. Only that row is wanted, so it alone is carried, from the last layer to the first:
r = e_class, then r <- r + r Abar_l. The same number, without any N x N matrix of relevance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitatt.explain.attention import (
    RecordedForward,
    attention_gradient,
    attention_probabilities,
)
from vitatt.explain.class_row import ClassRow


def tmme(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """Relevance of each token for K classes, a row of each.

    The classes share the forward pass and each layer's attention; memory is that of one layer.

    Args:
        recorded: A forward pass; its graph is used up.
        target: Classes to explain, (B, K).
    """
    logits, calls = recorded
    outputs = [call.output for call in calls]
    # Cases do not mix in evaluation mode, so the gradient of the sum is each case's own.
    sums = [logits.gather(1, classes.unsqueeze(1)).sum() for classes in target.unbind(1)]
    gradients = [
        torch.autograd.grad(value, outputs, retain_graph=number < len(sums))
        for number, value in enumerate(sums, start=1)
    ]
    with torch.no_grad():
        rows = [ClassRow.start(logits, [call.layout for call in calls]) for _ in sums]
        for layer, call in reversed(list(enumerate(calls))):
            attention = attention_probabilities(call)
            for number, of_class in enumerate(gradients):
                relevance = head_relevance(attention, attention_gradient(call, of_class[layer]))
                rows[number] = rows[number].below(relevance, call.layout)
    return rows


def head_relevance(attention: Tensor, gradient: Tensor) -> Tensor:
    """Abar: mean over heads of the positive part of attention times gradient (eq. 5).

    Args:
        attention: Probabilities, (B, heads, Q, N).
        gradient: Derivative of the explained logit by them, same shape; overwritten.

    Returns:
        (B, Q, N), not negative.
    """
    return gradient.mul_(attention).clamp_(min=0).mean(dim=1)
