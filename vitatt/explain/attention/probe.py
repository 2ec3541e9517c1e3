"""Attention whose backward pass also computes TMME relevance.

The backward pass of a fused kernel computes attention probabilities and discards them, so that TMME
would have to compute them again. This backward pass computes the probabilities A once, and from
them both gradients and relevance: with the derivative dA = dO V^T of the explained logit and the
class token's row r,

    r Abar = mean over heads of r max(A dA, 0)                              (eq. 5 of TMME)
    dV = A^T dO,  dS = A dA - A rowsum(A dA),  dQ = f dS K,  dK = f dS^T Q,  f the scores' factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitatt.explain.attention.call import (
    AttentionCall,
    attention_probabilities,
    fold_heads,
    packed,
    unpack,
)
from vitatt.explain.attention.class_row import ClassRow, passed_on
from vitatt.explain.attention.differentiation import full_precision


class AttentionProbe:
    """Replaces the attention kernel in a forward pass; backward passes then give relevance."""

    def __init__(self, device: torch.device) -> None:
        # The only input that gradients are computed for. It makes every layer part of the graph,
        # also the first, whose other inputs are constants.
        self._anchor = torch.zeros((), device=device, requires_grad=True)
        self.row: ClassRow | None = None  # below the layer that a backward pass has reached

    def attend(self, call: AttentionCall) -> Tensor:
        """The kernel's output, (B, heads, Q, d)."""
        whole = packed(call)
        sources = call[:3] if whole is None else (whole,)
        output: Tensor = _Attention.apply(self, call, self._anchor, *sources)
        return output

    def read(self, value: Tensor, row: ClassRow, *, keep: bool) -> ClassRow:
        """Run a backward pass that also passes on the class token's row.

        Args:
            value: The scalar to explain.
            row: The row above the last layer.
            keep: Keep the graph for another pass.

        Returns:
            The row below the first layer. Attention of one layer at a time is in memory.
        """
        self.row = row
        try:
            torch.autograd.grad(value, self._anchor, retain_graph=keep)
            return self.row
        finally:
            self.row = None


_CACHE = 2**22
"""Bytes of a processor's cache: on a CPU, attention is computed in parts of this size."""


class _Attention(torch.autograd.Function):
    """Attention, differentiable by query, key and value, or by the projection they are views of."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        (probe, call, _), sources = arguments[:3], arguments[3:]
        query, key, value, mask, scale, _ = call
        ctx.save_for_backward(*sources)
        ctx.probe, ctx.heads, ctx.rest = probe, query.shape[1], call[3:]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        sources, wanted = ctx.saved_tensors, any(ctx.needs_input_grad[3:])
        by_sources: list[Any] = [torch.empty_like(whole) if wanted else None for whole in sources]
        query, key, value = _inputs(sources, ctx.heads)
        call = AttentionCall(query, key, value, *ctx.rest)
        into = _inputs(by_sources, ctx.heads) if wanted else ()
        row = ctx.probe.row
        assert row is not None, "gradients go back through attention by `read` only"
        passed = _pass_back(call, gradient, row.of_queries(call.layout), into)
        ctx.probe.row = row.below(passed, call.layout)
        return None, None, gradient.new_zeros(()), *by_sources


def _inputs(sources: Sequence[Tensor], heads: int) -> Sequence[Tensor]:
    return unpack(sources[0], heads) if len(sources) == 1 else sources


def _pass_back(
    call: AttentionCall, of_output: Tensor, row: Tensor, into: Sequence[Tensor]
) -> Tensor:
    """Relevance that the row passes on, (B, N); gradients by query, key and value go `into`."""
    passed = row.new_zeros(len(row), call.key.shape[2])
    with full_precision(of_output):
        for rows, heads in _parts(call):
            part = call.part(rows, heads)
            attention = fold_heads(attention_probabilities(part))
            of_part, value = fold_heads(of_output[rows, heads]), fold_heads(part.value)
            product = (of_part @ value.mT).mul_(attention)
            by_head = product.clamp(min=0).unflatten(0, part.query.shape[:2])
            share = by_head.shape[1] / call.query.shape[1]
            passed[rows] += share * passed_on(row[rows], by_head)
            if into:
                parts = [whole[rows, heads] for whole in into]
                _write_by_inputs(parts, part, attention, product, of_part)
    return passed


def _parts(call: AttentionCall) -> Iterator[tuple[slice, slice]]:
    """Cases and heads that are computed at once.

    On a CPU, one head of as many cases as fit into the cache, whose query, key and value are then
    read from the projection without a copy.
    """
    cases, heads, queries, keys = (*call.query.shape[:3], call.key.shape[2])
    if call.query.is_cuda:
        yield slice(cases), slice(heads)
        return
    size = max(1, _CACHE // (4 * queries * keys))
    for start in range(0, cases, size):
        for head in range(heads):
            yield slice(start, start + size), slice(head, head + 1)


def _write_by_inputs(
    into: list[Tensor], call: AttentionCall, attention: Tensor, product: Tensor, of_output: Tensor
) -> None:
    """Write gradients by query, key and value; heads are folded, and `product` is overwritten."""
    by_query, by_key, by_value = into
    query, key = fold_heads(call.query), fold_heads(call.key)
    by_value.copy_((attention.mT @ of_output).view_as(by_value))
    scores = product.addcmul_(attention, product.sum(-1, keepdim=True), value=-1)
    torch.mul((scores @ key).view_as(by_query), call.factor, out=by_query)
    torch.mul((scores.mT @ query).view_as(by_key), call.factor, out=by_key)
