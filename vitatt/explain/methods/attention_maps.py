"""Relevance from attention alone, whatever the class: the last layer's, and rollout."""

from __future__ import annotations

import torch

from vitatt.explain.attention.call import AttentionCall, attention_probabilities
from vitatt.explain.attention.class_row import ClassRow, passed_on


@torch.no_grad()
def last_attention(calls: list[AttentionCall]) -> ClassRow:
    """What the class token attends to in the last layer, mean over heads."""
    attention = attention_probabilities(calls[-1])[:, :, 0].mean(dim=1)
    return ClassRow(*attention.split(list(calls[-1].layout), dim=1))


@torch.no_grad()
def rollout(calls: list[AttentionCall]) -> ClassRow:
    """Attention multiplied through all layers, each averaged with the identity.

    Source: Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 4:
    the product of ``(A_l + I) / 2``, A_l the mean over heads. The class token's row of it.
    """
    row = ClassRow.start(calls[-1].key, [call.layout for call in calls])
    for call in reversed(calls):
        passed = passed_on(row.of(call.layout), attention_probabilities(call))
        row = row.below(passed, call.layout, scale=0.5)
    return row
