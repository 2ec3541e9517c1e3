"""Cases of which ever more metadata is hidden: value by value, or feature by feature."""

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
"""Shares of the values hidden at random."""


class HiddenMetadata(NamedTuple):
    """Cases without part of their metadata.

    Attributes:
        perturbation: `AT_RANDOM`, `MOST` or `LEAST`.
        level: Share of values, or number of features, hidden.
        versions: The cases, once a repeat.
    """

    perturbation: str
    level: float
    versions: list[LesionBatch]


def perturb_metadata(
    network: LesionNetwork, batch: LesionBatch, importance: Floats, *, repeats: int, seed: int = 0
) -> Iterator[HiddenMetadata]:
    """Hide values at random, then features by their importance, from a little to all.

    A value is hidden with the share as its probability, whatever was observed; the draws of a
    repeat are the same at every share, so that what a lower share hides a higher one hides too.

    Args:
        network: Says what the metadata columns are; it must see metadata.
        batch: All cases, as pixels or tokens.
        importance: A value a feature, (F,); ties are hidden in the features' own order.
        repeats: Random draws.
        seed: Decides them.
    """

    def without(mask: NDArray[np.bool_]) -> LesionBatch:
        return perturb_features(network, batch, torch.from_numpy(mask).to(batch.missing.device))

    shape = tuple(batch.missing.shape)
    draws = [np.random.default_rng([seed, number]).random(shape) for number in range(repeats)]
    for share in SHARES:
        yield HiddenMetadata(AT_RANDOM, share, [without(chance < share) for chance in draws])
    for name, order in (
        (MOST, np.argsort(-importance, kind="stable")),
        (LEAST, np.argsort(importance, kind="stable")),
    ):
        mask = np.zeros(shape, np.bool_)
        for count, feature in enumerate(order, start=1):
            mask[:, feature] = True
            yield HiddenMetadata(name, float(count), [without(mask)])
