"""A trained network as a function of plain tensors, which tracing can follow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitatt.explain.attention.call import AttentionCall, attention_probabilities
from vitatt.explain.attention.class_row import row_of_layer
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, LesionTask, Pixels

OUTPUTS = ("logits", "probabilities", "embedding")
"""Names of the outputs of every network."""

ATTENTION = ("attention_patches", "attention_metadata")
"""Names of the further outputs of a network with attention."""


class PlainGraph(nn.Module):
    """A network whose inputs and outputs are tensors, by position.

    Pixels are uint8 as they come from an image file: the network normalises them. Logits and
    probabilities are calibrated, as those of `vitatt.Predictor`. The attention is that of the class
    token in the last layer, mean over the heads, as the explanation method ``attention`` has it.

    Args:
        network: In evaluation mode.
        task: Of the network.

    Attributes:
        inputs: Names of the inputs in their order: ``image`` (B, 3, V H, W) uint8; with metadata
            features, ``metadata`` (B, sum of K_f) float32 and ``missing`` (B, F) bool; with views,
            ``absent`` (B, V) bool.
        outputs: Names of the outputs in their order: ``logits`` and ``probabilities`` (B, C),
            ``embedding`` (B, E); with attention, ``attention_patches`` (B, V P) and
            ``attention_metadata`` (B, M).
    """

    def __init__(self, network: LesionNetwork, task: LesionTask) -> None:
        super().__init__()
        self.network = network
        self.inputs = ["image"]
        self.inputs += ["metadata", "missing"] if task.features else []
        self.inputs += ["absent"] if task.views else []
        self.outputs = [*OUTPUTS]
        if network.layouts:  # without metadata tokens, nothing attends to any
            self.outputs += ATTENTION[: 1 + bool(network.layouts[-1].metadata)]

    def forward(self, image: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """The outputs, as `outputs` names them, of the inputs that `inputs` names."""
        given = dict(zip(self.inputs[1:], others, strict=True))
        if "metadata" not in given:
            none = image.new_zeros((image.shape[0], 0))
            given |= {"metadata": none.float(), "missing": none.bool()}
        unknown = image.new_full((image.shape[0],), -1, dtype=torch.int64)
        pixels = Pixels(image, given.get("absent"))
        batch = LesionBatch(pixels, given["metadata"], given["missing"], unknown, ())
        with _AttentionCalls() as attention:
            logits, embedding, _ = self.network(batch)
        found = (logits, logits.softmax(-1), embedding)
        if not self.network.layouts:
            return found
        row = self._class_row(attention.calls[-1], pixels)
        return (*found, *row[: len(self.outputs) - len(found)])

    def _class_row(self, arguments: dict[str, Any], image: Pixels) -> tuple[Tensor, Tensor]:
        """Attention of the class token to patches and metadata in the last layer."""
        encoder, layout = self.network.encoder, self.network.layouts[-1]
        call = AttentionCall(layout=layout, **arguments)
        attention = attention_probabilities(call)[:, :, 0].mean(dim=1)
        if encoder is not None and encoder.views > 1:
            row = row_of_layer(attention, layout, encoder.view_shares(image))
            return row.patches, row.metadata
        end = attention.shape[1] - layout.metadata  # other image sizes have more patches or fewer
        return attention[:, layout.prefix : end], attention[:, end:]


class _AttentionCalls(TorchFunctionMode):
    """Keeps the arguments of the calls of the attention kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, Any]] = []

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            named = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | kwargs
            self.calls.append(
                {
                    "query": named["query"],
                    "key": named["key"],
                    "value": named["value"],
                    "mask": named.get("attn_mask"),
                    "scale": named.get("scale"),
                }
            )
        return func(*args, **kwargs)
