"""Calls of the attention kernel, and attention probabilities, which the kernel does not return."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vitatt.explain.attention.differentiation import full_precision
from vitatt.models.fusion.network import TokenLayout


class AttentionCall(NamedTuple):
    """Arguments of a call of the attention kernel.

    Attributes:
        query: (B, heads, Q, d); Q is 1 if only the class token is a query, else N.
        key: (B, heads, N, d).
        value: (B, heads, N, d).
        mask: True where a key may be attended to, or a bias that is added to the scores as they
            are after the factor; broadcastable to (B, heads, Q, N); or None.
        scale: Factor of the scores; None for 1 / sqrt(d).
        layout: Layout of the N tokens.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float | None
    layout: TokenLayout

    @property
    def factor(self) -> float:
        """Factor of the scores."""
        return self.scale if self.scale is not None else self.query.shape[-1] ** -0.5

    def part(self, rows: slice, heads: slice) -> AttentionCall:
        """The call restricted to some cases and heads, in float32 at least.

        Its heads can be folded into its cases without a copy.
        """
        mask = self.mask
        if mask is not None:
            mask = mask.expand(*self.query.shape[:2], *mask.shape[-2:])[rows, heads]
        chosen = (whole[rows, heads] for whole in self[:3])
        query, key, value = (fold_heads(one).unflatten(0, one.shape[:2]) for one in chosen)
        return self._replace(query=query, key=key, value=value, mask=mask)


def unpack(projection: Tensor, heads: int) -> tuple[Tensor, ...]:
    """Query, key and value (B, heads, N, d) as views of one projection (B, N, 3 heads d)."""
    return projection.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def packed(call: AttentionCall) -> Tensor | None:
    """The projection whose `unpack` is query, key and value, as in timm's blocks; else None."""
    inputs, heads = call[:3], call.query.shape[1]
    whole = call.query._base
    if whole is None or whole.ndim != 3 or whole.shape[-1] % (3 * heads):
        return None
    same = (
        part._base is whole and part.requires_grad == whole.requires_grad and part.is_set_to(view)
        for part, view in zip(inputs, unpack(whole, heads), strict=True)
    )
    return whole if all(same) else None


def attention_probabilities(call: AttentionCall) -> Tensor:
    """Softmax probabilities (B, heads, Q, N), in float32 at least."""
    query, key = (fold_heads(part) for part in call[:2])
    with full_precision(query):
        scores = ((query * call.factor) @ key.mT).unflatten(0, call.query.shape[:2])
    if call.mask is not None and call.mask.dtype == torch.bool:
        scores.masked_fill_(~call.mask, -torch.inf)
    elif call.mask is not None:
        scores += call.mask
    return scores.softmax(-1)


def fold_heads(tensor: Tensor) -> Tensor:
    """(B, heads, N, d) as (B heads, N, d), in float32 unless it is in float64."""
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).flatten(0, 1)
