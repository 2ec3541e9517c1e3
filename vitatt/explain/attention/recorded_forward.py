"""Recording of the attention of any network in a forward pass.

Networks compute attention by PyTorch's fused kernel, which does not return the probabilities. Its
calls are recorded, so that probabilities can be computed from their arguments. Training is not
slower, and no hook, buffer or gradient is left on the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitatt.explain.attention.call import AttentionCall
from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.differentiation import differentiable, own_inputs
from vitatt.explain.attention.probe import AttentionProbe
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.network import LesionNetwork, TokenLayout
from vitatt.types import LesionBatch


class RecordedForward(NamedTuple):
    """A forward pass.

    Attributes:
        logits: (B, C).
        calls: Calls of the attention kernel, first layer first.
        probe: Runs backward passes; None if no graph was kept.
        shares: Weight of each view in the class token, (B, V); None if a case is one image.
    """

    logits: Tensor
    calls: list[AttentionCall]
    probe: AttentionProbe | None
    shares: Tensor | None = None

    def first_row(self) -> ClassRow:
        """The class token's row above the last layer."""
        layouts = [call.layout for call in self.calls]
        return ClassRow.start(self.logits.detach(), layouts, self.shares)


@contextmanager
def recorded_forward(
    network: LesionNetwork, batch: LesionBatch, *, gradients: bool = True
) -> Iterator[RecordedForward]:
    """A forward pass with its attention calls, see `differentiable`.

    Args:
        network: Any network with attention.
        batch: Cases, as pixels.
        gradients: Keep the graph; without it a pass takes less memory.

    Raises:
        RuntimeError: If other attention ran than `LesionNetwork.layouts` describes.
    """
    probe = AttentionProbe(batch.metadata.device) if gradients else None
    with differentiable(network) as function:
        recorder = _AttentionRecorder(network.layouts, probe)
        with torch.set_grad_enabled(gradients), recorder.outside(network.encoder), recorder:
            logits = function(own_inputs(batch)).logits
        recorder.check()
        shares = None
        if network.encoder is not None and network.encoder.views > 1:
            shares = network.encoder.view_shares(batch.image)
        yield RecordedForward(logits, recorder.calls, probe, shares)


_HINT = "Is fused attention switched off (TIMM_FUSED_ATTN=0)?"


class _AttentionRecorder(TorchFunctionMode):
    def __init__(self, layouts: list[TokenLayout], probe: AttentionProbe | None) -> None:
        super().__init__()
        self._layouts = layouts
        self._probe = probe
        self._paused = False
        self.calls: list[AttentionCall] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused or func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        call = self._call(*args, **kwargs)
        query, key, value = (part.detach() for part in call[:3])
        self.calls.append(call._replace(query=query, key=key, value=value))
        return func(*args, **kwargs) if self._probe is None else self._probe.attend(call)

    @contextmanager
    def outside(self, encoder: ImageEncoder | None) -> Iterator[None]:
        """Do not record the windows of a Swin transformer: no layer of it attends to all patches.

        Its hooks are removed on leaving.
        """
        if encoder is None or encoder.attends:
            yield
            return

        def pause(*_: Any) -> None:
            self._paused = True

        def go_on(*_: Any) -> None:
            self._paused = False

        hooks = (
            encoder.register_forward_pre_hook(pause),
            encoder.register_forward_hook(go_on, always_call=True),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def check(self) -> None:
        """Raise if other attention ran than the layouts describe."""
        if len(self.calls) != len(self._layouts):
            raise RuntimeError(
                f"Expected {len(self._layouts)} calls of the fused attention kernel, but recorded "
                f"{len(self.calls)}. {_HINT}"
            )

    def _call(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> AttentionCall:
        number = len(self.calls)
        if number < len(self._layouts) and key.shape[-2] != self._layouts[number].length:
            raise RuntimeError(
                f"Expected attention layer {number} over {self._layouts[number]}, but recorded one "
                f"over {key.shape[-2]} tokens. {_HINT}"
            )
        if dropout_p or is_causal or enable_gqa:
            raise RuntimeError(
                f"Expected attention layer {number} to be softmax(Q K^T) V of all keys, but it was "
                f"called with dropout_p={dropout_p}, is_causal={is_causal}, "
                f"enable_gqa={enable_gqa}, of which no relevance is read."
            )
        layout = self._layouts[min(number, len(self._layouts) - 1)]
        return AttentionCall(query, key, value, attn_mask, scale, layout)
