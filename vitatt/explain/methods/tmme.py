"""TMME: relevance of tokens from attention and its gradients, carried to the class token's row.

Source: Chefer, Gur, Wolf, "Generic attention-model explainability for interpreting bi-modal and
encoder-decoder transformers", ICCV 2021, eq. 5 and 6, as ViTAtt (arXiv 2304.14505) applies them to
image and metadata tokens in one self-attention.

The rule is R = I, then R <- R + Abar_l R from the first layer to the last, and the class token's
row of R is read. Only that row is wanted, so it alone is carried, from the last layer to the first:
r = e_class, then r <- r + r Abar_l. The same number, without any N x N matrix of relevance.
"""

from __future__ import annotations

from torch import Tensor

from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.recorded_forward import RecordedForward


def tmme(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """Relevance of each token for K classes, a row of each.

    The classes share the forward pass. Beyond its activations, memory is that of one layer.

    Args:
        recorded: A forward pass with gradients; its graph is used up.
        target: Classes to explain, (B, K).

    Raises:
        ValueError: If the pass was recorded without gradients.
    """
    logits, calls, probe = recorded
    if probe is None:
        raise ValueError("Expected a pass recorded with gradients=True, but got one without.")
    layouts = [call.layout for call in calls]
    rows = []
    for number, classes in enumerate(target.unbind(1), start=1):
        start = ClassRow.start(logits.detach(), layouts)
        # Cases do not mix in evaluation mode, so the gradient of the sum is each case's own.
        value = logits.gather(1, classes.unsqueeze(1)).sum()
        rows.append(probe.read(value, start, keep=number < target.shape[1]))
    return rows
