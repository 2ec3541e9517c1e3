"""Weights divided among processes, for encoders that one GPU cannot train (FSDP).

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
    """Divide weights, gradients and optimizer state, each block of the encoder by itself.

    A block's weights are put together when it runs, in every process, and divided again after it.

    Args:
        network: Divided in place; its parameters keep their names.
        mesh: The processes, in one dimension.
    """
    if network.encoder is not None:
        for block in network.encoder.backbone.get_submodule("blocks").children():
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def require_as_many_batches(batches: int) -> None:
    """Refuse batches that some process has not: the others would wait for it forever.

    Raises:
        UsageError: If the processes do not have as many.
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
    """All weights in each process, so that any of them may run the network without the others.

    All processes enter and leave together. A network that is not divided stays as it is.
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
