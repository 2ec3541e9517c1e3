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
    AttentionCall,
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
            relevance = _layer_relevance(call, [of_class[layer] for of_class in gradients])
            rows = [
                row.below(of_class, call.layout)
                for row, of_class in zip(rows, relevance, strict=True)
            ]
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


_CACHE = 2**21
"""Bytes that a core keeps close: attention is worked on in parts of this size on a CPU."""


def _layer_relevance(call: AttentionCall, gradients: list[Tensor]) -> list[Tensor]:
    """Abar (B, Q, N) of a layer for each class, given the derivatives by its output."""
    cases, heads, queries, keys = (*call.query.shape[:3], call.key.shape[2])
    size = cases if call.query.is_cuda else max(1, _CACHE // (4 * heads * queries * keys))
    found: list[list[Tensor]] = [[] for _ in gradients]
    for start in range(0, cases, size):
        rows = slice(start, start + size)
        part = call.cases(rows)
        attention = attention_probabilities(part)
        for of_class, gradient in zip(found, gradients, strict=True):
            of_class.append(head_relevance(attention, attention_gradient(part, gradient[rows])))
    return [torch.cat(parts) for parts in found]
