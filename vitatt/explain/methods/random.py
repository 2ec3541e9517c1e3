"""Random relevance, the baseline of every method."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch


def random_relevance(network: LesionNetwork, batch: LesionBatch, target: Tensor) -> Relevance:
    """Uniform noise seeded by the case id, so that it does not depend on the batch.

    Args:
        network: Any network with an image encoder.
        batch: Cases.
        target: Classes, (B, K); all get the same.
    """
    assert network.encoder is not None
    rows, columns = network.grid_size
    count = len(network.cardinalities)
    noise = torch.stack(
        [
            torch.rand(
                rows * columns + count,
                generator=torch.Generator().manual_seed(zlib.crc32(case_id.encode())),
            )
            for case_id in batch.case_id
        ]
    ).to(batch.metadata)
    patches, features = noise.split([rows * columns, count], dim=1)
    features = features.masked_fill(batch.missing, 0) if count else features
    if (absent := network.encoder.absent_patches(batch.image)) is not None:
        patches = patches.masked_fill(absent, 0)
    times = target.shape[1]
    return Relevance(
        patches.unflatten(1, (rows, columns)).unsqueeze(1).repeat(1, times, 1, 1),
        features.unsqueeze(1).repeat(1, times, 1),
        logits=batch.metadata.new_full((len(target), network.head.out_features), torch.nan),
        cost=Cost(0, 0, 0.0),
    )
