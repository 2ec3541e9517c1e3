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
        wanted = ctx.needs_input_grad[0]
        by_inputs = [torch.empty_like(part) for part in call[:3] if wanted]
        relevance = []
        with full_precision(gradient):
            for start in range(0, cases, size):
                rows = slice(start, start + size)
                part, of_output = call.cases(rows), at_least_float32(gradient[rows])
                attention = attention_probabilities(part)
                product = (of_output @ part.value.transpose(-2, -1)).mul_(attention)
                relevance.append(head_relevance(product))
                if wanted:
                    found = _by_inputs(part, attention, product, of_output)
                    for whole, of_part in zip(by_inputs, found, strict=True):
                        whole[rows] = of_part
        ctx.probe.hand_over(call, torch.cat(relevance))
        return (
            *(by_inputs if wanted else [None] * 3),
            None,
            None,
            None,
            gradient.new_zeros(()),
            None,
        )


def _by_inputs(
    call: AttentionCall, attention: Tensor, product: Tensor, of_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, key and value; `attention` and `product` are overwritten."""
    by_value = attention.transpose(-2, -1) @ of_output
    scores = product.sub_(attention.mul_(product.sum(-1, keepdim=True))).mul_(call.factor)
    return scores @ call.key, scores.transpose(-2, -1) @ call.query, by_value
