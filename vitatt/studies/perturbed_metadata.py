"""Perturbed metadata: values made missing at random, or features by their importance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.explain.methods.perturb import perturb_features
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

AT_RANDOM, MOST, LEAST = "at random", "most important first", "least important first"

SHARES = tuple(tenths / 10 for tenths in range(1, 11))
"""Shares of the values made missing at random."""


class PerturbedMetadata(NamedTuple):
    """Cases with part of their metadata missing.

    Attributes:
        perturbation: `AT_RANDOM`, `MOST` or `LEAST`.
        level: Share of values, or number of features, made missing.
        versions: The cases, one version for each repeat.
    """

    perturbation: str
    level: float
    versions: list[LesionBatch]


def perturb_metadata(
    network: LesionNetwork, batch: LesionBatch, importance: Floats, *, repeats: int, seed: int = 0
) -> Iterator[PerturbedMetadata]:
    """Yield cases with values missing at random, then with features missing by importance.

    A value is made missing with the share as its probability, whether it was observed or not; a
    repeat has the same draws at every share, so that a value missing at one share is missing at
    every higher one.

    Args:
        network: Network that knows the metadata columns; it must see metadata.
        batch: All cases, as pixels or tokens.
        importance: Importance of each feature, (F,); ties keep the order of the features.
        repeats: Random draws.
        seed: Seed of the draws.
    """

    def without(mask: NDArray[np.bool_]) -> LesionBatch:
        return perturb_features(network, batch, torch.from_numpy(mask).to(batch.missing.device))

    shape = tuple(batch.missing.shape)
    draws = [np.random.default_rng([seed, number]).random(shape) for number in range(repeats)]
    for share in SHARES:
        yield PerturbedMetadata(AT_RANDOM, share, [without(chance < share) for chance in draws])
    for name, order in (
        (MOST, np.argsort(-importance, kind="stable")),
        (LEAST, np.argsort(importance, kind="stable")),
    ):
        mask = np.zeros(shape, np.bool_)
        for count, feature in enumerate(order, start=1):
            mask[:, feature] = True
            yield PerturbedMetadata(name, float(count), [without(mask)])
