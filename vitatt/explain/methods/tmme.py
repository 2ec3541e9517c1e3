"""TMME (transformer multi-modal explainability): relevance from attention and its gradients.

Source: Chefer, Gur, Wolf, "Generic attention-model explainability for interpreting bi-modal and
encoder-decoder transformers", ICCV 2021, eq. 5 and 6, as ViTAtt (arXiv 2304.14505) applies them to
image and metadata tokens in one self-attention.

The rule is R = I, then R <- R + Abar_l R from the first layer to the last; relevance is the class
token's row of R. Only that row is computed, from the last layer to the first: r = e_class, then
r <- r + r Abar_l. This is the same number, without N x N matrices of relevance.
"""

from __future__ import annotations

from torch import Tensor

from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.recorded_forward import RecordedForward


def tmme(recorded: RecordedForward, target: Tensor) -> list[ClassRow]:
    """Relevance of each token, one row for each of K classes.

    The classes share the forward pass. Attention of one layer at a time is in memory.

    Args:
        recorded: A forward pass with gradients; its graph is used up.
        target: Classes to explain, (B, K).

    Raises:
        ValueError: If the pass was recorded without gradients.
    """
    if (probe := recorded.probe) is None:
        raise ValueError("Expected a pass recorded with gradients=True, but got one without.")
    rows = []
    for number, classes in enumerate(target.unbind(1), start=1):
        # Cases are independent in evaluation mode: the sum has the gradient of each case.
        value = recorded.logits.gather(1, classes.unsqueeze(1)).sum()
        rows.append(probe.read(value, recorded.first_row(), keep=number < target.shape[1]))
    return rows
