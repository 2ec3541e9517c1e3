"""Number of cases that fit into memory at once."""

from __future__ import annotations

import torch

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

_CPU_BUDGET = 500e6
"""Bytes of activations on a CPU."""


def cases_at_once(network: LesionNetwork, batch: LesionBatch) -> int:
    """Number of cases whose graph fits."""
    encoder = network.encoder
    assert encoder is not None
    # About ten tensors of all tokens are stored in an attention layer.
    attending = 10 * sum(one.views * one.length for one in network.layouts) * encoder.dim
    of_case = max(attending, encoder.views * encoder.activations) * 4
    budget = _free(batch.metadata.device) / 4 if batch.metadata.is_cuda else _CPU_BUDGET
    parts = max(1, -(-len(batch.target) * of_case // int(budget)))
    return -(-len(batch.target) // parts)


def _free(device: torch.device) -> int:
    """Free bytes of a GPU, including those that PyTorch has reserved and does not use."""
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + reserve
