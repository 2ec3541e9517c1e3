"""A batch in parts that fit into memory."""

from __future__ import annotations

import torch
from torch import Tensor

from vitatt.models.network import LesionNetwork
from vitatt.types import LesionBatch

_CPU_BUDGET = 220e6
"""Bytes of activations at once."""


def chunk_size(network: LesionNetwork, batch: LesionBatch) -> int:
    """Cases whose graph fits the budget: some ten tensors of all tokens are kept in each layer."""
    assert network.encoder is not None
    tokens = sum(layout.length for layout in network.layouts)
    of_case = 10 * tokens * network.encoder.dim * 4
    budget = _CPU_BUDGET
    if batch.image.is_cuda:
        budget = torch.cuda.mem_get_info(batch.image.device)[0] / 4
    parts = max(1, -(-len(batch.target) * of_case // int(budget)))
    return -(-len(batch.target) // parts)


def chunks(batch: LesionBatch, target: Tensor, size: int) -> list[tuple[LesionBatch, Tensor]]:
    """The batch and its targets in parts of at most `size` cases."""
    starts = range(0, len(target), size)
    return [
        (batch.cases(slice(start, start + size)), target[start : start + size]) for start in starts
    ]
