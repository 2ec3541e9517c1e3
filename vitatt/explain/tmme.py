"""TMME: relevance of tokens from attention and its gradients, carried to the class token's row.

Source: Chefer, Gur, Wolf, "Generic attention-model explainability for interpreting bi-modal and
encoder-decoder transformers", ICCV 2021, eq. 5 and 6, as ViTAtt (arXiv 2304.14505) applies them to
image and metadata tokens in one self-attention.

The rule is R = I, then R <- R + Abar_l R from the first layer to the last, and the class token's
row of R is read. Only that row is wanted, so it alone is carried, from the last layer to the first:
r = e_class, then r <- r + r Abar_l. The same number, without any N x N matrix of relevance.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vitatt.explain.attention import full_precision
from vitatt.models.network import TokenLayout


class ClassRow(NamedTuple):
    """Relevance of each token to the class token.

    Attributes:
        prefix: Of the class token, then other prefix tokens, (B, prefix).
        patches: (B, P).
        metadata: (B, M).
    """

    prefix: Tensor
    patches: Tensor
    metadata: Tensor

    @classmethod
    def start(cls, like: Tensor, layouts: list[TokenLayout]) -> ClassRow:
        """The class token's own row of the identity.

        Args:
            like: Gives batch size, type and device, (B, ...).
            layouts: The sequences of all layers.
        """
        sizes = (max(column) for column in zip(*layouts, strict=True))
        prefix, patches, metadata = (like.new_zeros(len(like), size) for size in sizes)
        prefix[:, 0] = 1
        return cls(prefix, patches, metadata)


def head_relevance(attention: Tensor, gradient: Tensor) -> Tensor:
    """Abar: mean over heads of the positive part of attention times gradient (eq. 5).

    Args:
        attention: Probabilities, (B, heads, Q, N).
        gradient: Derivative of the explained logit by them, same shape.

    Returns:
        (B, Q, N), not negative.
    """
    return (attention * gradient).clamp(min=0).mean(dim=1)


def carry(row: ClassRow, relevance: Tensor, layout: TokenLayout) -> ClassRow:
    """The class row one layer further down: r + r Abar (eq. 6).

    A layer that has not seen some tokens (metadata below the fusion) leaves their relevance as it
    is.

    Args:
        row: Relevance above the layer.
        relevance: Abar of the layer, (B, N, N), or (B, 1, N) if only the class token asked.
        layout: What the layer's N tokens are.
    """
    above = torch.cat(
        [
            row.prefix[:, : layout.prefix],
            row.patches[:, : layout.patches],
            row.metadata[:, : layout.metadata],
        ],
        dim=1,
    )
    asking = above[:, : relevance.shape[1]]
    with full_precision(above):
        below = above + (asking.unsqueeze(1) @ relevance).squeeze(1)
    parts = below.split(list(layout), dim=1)
    return ClassRow(
        *(
            torch.cat([new, old[:, new.shape[1] :]], dim=1)
            for new, old in zip(parts, row, strict=True)
        )
    )
