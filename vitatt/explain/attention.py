"""Reads attention out of any network without slowing its training.

Networks compute attention by PyTorch's fused kernel, which never forms the probabilities. Here the
kernel's inputs and output are noted as it is called, and the probabilities recomputed for the
layer that is looked at. Nothing is left on the network: no hook, no buffer, no gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitatt.explain.differentiation import differentiable, full_precision, own_inputs
from vitatt.models.network import LesionNetwork, TokenLayout
from vitatt.types import LesionBatch


class AttentionCall(NamedTuple):
    """One call of the attention kernel.

    Attributes:
        query: (B, heads, Q, d); Q is 1 where only the class token asks, else N.
        key: (B, heads, N, d).
        value: (B, heads, N, d).
        mask: True where a key may be attended to, broadcastable to (B, heads, Q, N); or None.
        scale: Factor of the scores; None for 1 / sqrt(d).
        output: (B, heads, Q, d).
        layout: What the N tokens are.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float | None
    output: Tensor
    layout: TokenLayout

    def cases(self, rows: slice) -> AttentionCall:
        """The call as if made with some of the cases only."""
        mask = self.mask
        if mask is not None and mask.ndim == 4 and len(mask) == len(self.query):
            mask = mask[rows]
        return self._replace(
            query=self.query[rows],
            key=self.key[rows],
            value=self.value[rows],
            mask=mask,
            output=self.output[rows],
        )


class RecordedForward(NamedTuple):
    """Logits (B, C) of a forward pass and its attention calls, first layer first."""

    logits: Tensor
    calls: list[AttentionCall]


def attention_probabilities(call: AttentionCall) -> Tensor:
    """Softmax probabilities (B, heads, Q, N), in float32 at least."""
    query, key = _at_least_float32(call.query), _at_least_float32(call.key)
    scale = call.scale if call.scale is not None else query.shape[-1] ** -0.5
    with full_precision(query):
        scores = (query * scale) @ key.transpose(-2, -1)
    if call.mask is not None:
        scores = scores.masked_fill(~call.mask, -torch.inf)
    return scores.softmax(-1)


def attention_gradient(call: AttentionCall, output_gradient: Tensor) -> Tensor:
    """Gradient of a scalar by the probabilities, (B, heads, Q, N), from that by the output.

    The output is A v, so that dy/dA = (dy/do) v^T.
    """
    gradient, value = _at_least_float32(output_gradient), _at_least_float32(call.value)
    with full_precision(gradient):
        return gradient @ value.transpose(-2, -1)


@contextmanager
def recorded_forward(
    network: LesionNetwork, batch: LesionBatch, *, gradients: bool = True
) -> Iterator[RecordedForward]:
    """A forward pass whose attention outputs can be differentiated by, see `differentiable`.

    Args:
        network: Any network with attention.
        batch: Cases, as pixels.
        gradients: Keep the graph; without it a pass takes less memory.

    Raises:
        RuntimeError: If other attention ran than the network says it has.
    """
    with differentiable(network) as function:
        with torch.set_grad_enabled(gradients), _AttentionRecorder(network.layouts) as recorder:
            logits = function(own_inputs(batch)).logits
        recorder.check()
        yield RecordedForward(logits, recorder.calls)


_HINT = "Is fused attention switched off (TIMM_FUSED_ATTN=0)?"


class _AttentionRecorder(TorchFunctionMode):
    def __init__(self, layouts: list[TokenLayout]) -> None:
        super().__init__()
        self._layouts = layouts
        self.calls: list[AttentionCall] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            if torch.is_grad_enabled() and not result.requires_grad:
                # The first layers of a network of constants: the graph begins here.
                result.requires_grad_()
            self._note(result, *args, **kwargs)
        return result

    def check(self) -> None:
        """Raise if other attention ran than the network says it has."""
        if len(self.calls) != len(self._layouts):
            raise RuntimeError(
                f"Expected {len(self._layouts)} calls of the fused attention kernel, but recorded "
                f"{len(self.calls)}. {_HINT}"
            )

    def _note(
        self,
        output: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        scale: float | None = None,
        **_: Any,
    ) -> None:
        number = len(self.calls)
        if number < len(self._layouts) and key.shape[-2] != self._layouts[number].length:
            raise RuntimeError(
                f"Expected attention layer {number} over {self._layouts[number]}, but recorded one "
                f"over {key.shape[-2]} tokens. {_HINT}"
            )
        layout = self._layouts[min(number, len(self._layouts) - 1)]
        call = AttentionCall(
            query.detach(), key.detach(), value.detach(), attn_mask, scale, output, layout
        )
        self.calls.append(call)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
