"""Weights divided among processes (FSDP), for encoders that are too large for one GPU.

Source: Zhao et al. 2023, "PyTorch FSDP: experiences on scaling fully sharded data parallel".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import UsageError


def shard(network: LesionNetwork, mesh: DeviceMesh) -> None:
    """Divide weights, gradients and optimizer state among processes.

    Each encoder block is divided on its own: every process gathers its weights when it runs, and
    frees them after it.

    Args:
        network: Divided in place; its parameters keep their names.
        mesh: The processes, a mesh of one dimension.
    """
    if network.encoder is not None:
        for block in network.encoder.blocks:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def require_as_many_batches(batches: int) -> None:
    """Check that all processes have the same number of batches; otherwise some wait forever.

    Raises:
        UsageError: If they do not.
    """
    counts = [0] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(counts, batches)
    if len(set(counts)) > 1:
        raise UsageError(
            "The processes of a divided network run each validation batch together, but have "
            f"{', '.join(map(str, counts))} of them: set `data.batch_size` to at least 2, and have "
            "a validation case for each process."
        )


@contextmanager
def whole(network: LesionNetwork) -> Iterator[None]:
    """Gather all weights in each process, so that each can run the network independently.

    All processes must enter and leave together. Nothing happens if the network is not divided.
    """
    parts = [module for module in network.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.set_reshard_after_backward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True, recurse=False)
            part.set_reshard_after_backward(True, recurse=False)
