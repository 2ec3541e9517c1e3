"""Attention that tells its relevance as gradients pass back through it.

A fused kernel's backward pass forms the attention probabilities a part at a time, uses them and
throws them away; TMME would have to form them once more. Here the backward pass is written out, so
that one set of probabilities A serves both: with the derivative dA = dO V^T of the explained logit,

    Abar = mean over heads of max(A dA, 0)                                  (eq. 5 of TMME)
    dV = A^T dO,  dS = A dA - A rowsum(A dA),  dQ = f dS K,  dK = f dS^T Q,  f the scores' factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitatt.explain.attention_call import (
    AttentionCall,
    at_least_float32,
    attention_probabilities,
)
from vitatt.explain.differentiation import full_precision

Receive = Callable[[AttentionCall, Tensor], None]
"""Told a layer's call and its Abar, (B, Q, N)."""


class AttentionProbe:
    """Stands in for the attention kernel during a forward pass, and reads passes back."""

    def __init__(self, device: torch.device) -> None:
        # All that is differentiated by: it makes each layer part of the graph, the first included,
        # whose own inputs are constants.
        self._anchor = torch.zeros((), device=device, requires_grad=True)
        self._receive: Receive | None = None

    def attend(self, call: AttentionCall) -> Tensor:
        """The kernel's output, (B, heads, Q, d)."""
        output: Tensor = _Attention.apply(*call, self._anchor, self)
        return output

    def read(self, value: Tensor, receive: Receive, *, keep: bool) -> None:
        """Pass a scalar's gradient back, handing over each layer's relevance, last layer first.

        Args:
            value: What is explained.
            receive: Called once a layer; no attention of other layers is held meanwhile.
            keep: Keep the graph for another pass.
        """
        self._receive = receive
        try:
            torch.autograd.grad(value, self._anchor, retain_graph=keep)
        finally:
            self._receive = None

    def hand_over(self, call: AttentionCall, relevance: Tensor) -> None:
        """Called by a layer that gradients have reached."""
        assert self._receive is not None, "gradients go back through attention by `read` only"
        self._receive(call, relevance)


def head_relevance(product: Tensor) -> Tensor:
    """Abar: mean over heads of the positive part of attention times gradient (eq. 5).

    Args:
        product: Probabilities times the derivative of the explained logit by them,
            (B, heads, Q, N).

    Returns:
        (B, Q, N), not negative.
    """
    return product.clamp(min=0).mean(dim=1)


_CACHE = 2**21
"""Bytes that a core keeps close: attention is worked on in parts of this size on a CPU."""


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        call, (_, probe) = AttentionCall(*arguments[:6]), arguments[6:]
        ctx.save_for_backward(*call[:4])
        ctx.rest, ctx.probe = call[4:], probe
        query, key, value, mask, scale, _ = call
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        call = AttentionCall(*ctx.saved_tensors, *ctx.rest)
        cases, heads, queries, keys = (*call.query.shape[:3], call.key.shape[2])
        size = cases if call.query.is_cuda else max(1, _CACHE // (4 * heads * queries * keys))
        inputs = call[:3] if ctx.needs_input_grad[0] else ()
        kind = torch.promote_types(gradient.dtype, torch.float32)
        wholes = [part.new_empty(part.shape, dtype=kind) for part in inputs]
        relevance = []
        with full_precision(gradient):
            for start in range(0, cases, size):
                rows = slice(start, start + size)
                part, of_output = call.cases(rows), at_least_float32(gradient[rows]).contiguous()
                attention = attention_probabilities(part)
                product = (of_output @ part.value.transpose(-2, -1)).mul_(attention)
                relevance.append(head_relevance(product))
                if wholes:
                    parts = [whole[rows] for whole in wholes]
                    _write_by_inputs(parts, part, attention, product, of_output)
        ctx.probe.hand_over(call, torch.cat(relevance))
        by_inputs = [whole.to(part.dtype) for whole, part in zip(wholes, inputs, strict=True)]
        nothing = [None] * 3
        return *(by_inputs or nothing), *nothing, gradient.new_zeros(()), None


def _write_by_inputs(
    into: list[Tensor], call: AttentionCall, attention: Tensor, product: Tensor, of_output: Tensor
) -> None:
    """Gradients by query, key and value, written in place; `product` is overwritten."""
    by_query, by_key, by_value = into
    torch.matmul(attention.transpose(-2, -1), of_output, out=by_value)
    scores = product.addcmul_(attention, product.sum(-1, keepdim=True), value=-1)
    torch.matmul(scores, call.key, out=by_query).mul_(call.factor)
    torch.matmul(scores.transpose(-2, -1), call.query, out=by_key).mul_(call.factor)
