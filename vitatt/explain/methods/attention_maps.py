"""Relevance from attention alone, the same for every class: of the last layer, and rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from vitatt.explain.attention.call import attention_probabilities
from vitatt.explain.attention.class_row import ClassRow, passed_on, row_of_layer
from vitatt.explain.attention.recorded_forward import RecordedForward


@torch.no_grad()
def last_attention(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """Attention of the class token in the last layer, mean over heads, once for each class.

    Args:
        recorded: A forward pass.
        target: Classes, (B, K).
    """
    call = recorded.calls[-1]
    attention = attention_probabilities(call)[:, :, 0].mean(dim=1)
    return [row_of_layer(attention, call.layout, recorded.shares)] * target.shape[1]


@torch.no_grad()
def rollout(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """Attention multiplied through all layers, each averaged with the identity, for each class.

    Source: Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 4:
    the product of ``(A_l + I) / 2``, A_l the mean over heads. The class token's row of it.

    Args:
        recorded: A forward pass.
        target: Classes, (B, K).
    """
    row = recorded.first_row()
    for call in reversed(recorded.calls):
        passed = passed_on(row.of_queries(call.layout), attention_probabilities(call))
        row = row.below(passed, call.layout, scale=0.5)
    return [row] * target.shape[1]
