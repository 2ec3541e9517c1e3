"""Agreement of the relevance of metadata features with other measures of their importance.

Permutation and occlusion measure importance by changing the input. If they rank the features as
relevance does, relevance shows which features the network uses.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from vitatt.evaluation.bootstrap import Floats
from vitatt.explain.attention.differentiation import differentiable
from vitatt.explain.methods.perturb import perturb_features
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

AnyFloats = NDArray[np.floating[Any]]


class FeatureImportance(NamedTuple):
    """Importance of each metadata feature, measured by changing it.

    Attributes:
        permutation: Mean rise of the log loss, in nats, when the feature is shuffled among the
            labelled cases, (F,); below 0 where shuffling helps.
        occlusion: Mean drop in the probability of the predicted class when the feature is hidden,
            over the cases in which it was observed, (F,); NaN if it was in none.
    """

    permutation: Floats
    occlusion: Floats


class Agreement(NamedTuple):
    """Agreement of two measures in their ranking of the features.

    Attributes:
        spearman: Rank correlation; NaN if either measure is constant.
        overlap: Share of the top k that both have in common; with ties at the k-th place, its
            expectation over ties broken at random.
        k: Number of features in the top: at most those for which both measures have a value.
    """

    spearman: float
    overlap: float
    k: int


def feature_importance(
    network: LesionNetwork,
    batch: LesionBatch,
    *,
    repeats: int = 10,
    seed: int = 0,
    batch_size: int = 64,
) -> FeatureImportance:
    """Importance of metadata features by permutation and by occlusion.

    A feature is its soft one-hot columns and its missing flag, shuffled together (Breiman, "Random
    forests", 2001, section 10; Fisher, Rudin and Dominici 2019, with the log loss). The shuffles
    are the same for every feature. A hidden feature is missing and uniform, as in the encoding of
    metadata.

    Args:
        network: Left as it was.
        batch: All cases to measure on, as pixels, or as tokens if the network takes these.
        repeats: Number of shuffles.
        seed: Seed of the shuffles.
        batch_size: Cases per forward pass.

    Raises:
        ValueError: If the network sees no metadata, no case is labelled, or `repeats` is below 1.
    """
    cardinalities = network.cardinalities
    if not cardinalities:
        raise ValueError(
            f"Expected a network that sees metadata, but {type(network).__name__} has no feature."
        )
    if not (batch.target >= 0).any():
        raise ValueError("Expected argument `batch` to have labelled cases, but got none.")
    if repeats < 1:
        raise ValueError(f"Expected argument `repeats` to be at least 1, but got {repeats}.")
    ends = list(accumulate(cardinalities))
    columns = [slice(end - count, end) for end, count in zip(ends, cardinalities, strict=True)]

    with differentiable(network) as function, torch.no_grad():

        def predict(cases: LesionBatch) -> Tensor:
            starts = range(0, len(cases.target), batch_size)
            parts = [cases.cases(slice(start, start + batch_size)) for start in starts]
            logits = [function(part).logits for part in parts]
            return torch.cat(logits).double().log_softmax(1)

        if network.encodes_alone:
            assert network.encoder is not None
            starts = range(0, len(batch.target), batch_size)
            parts = [batch.cases(slice(start, start + batch_size)) for start in starts]
            tokens = [network.encoder.encoded(part.image).values for part in parts]
            batch = batch.with_tokens(torch.cat(tokens))
        labelled = batch.cases((batch.target >= 0).nonzero().flatten().tolist())
        rng = np.random.default_rng(seed)
        shuffles = [torch.as_tensor(rng.permutation(len(labelled.target))) for _ in range(repeats)]
        return FeatureImportance(
            _permutation(predict, labelled, columns, shuffles),
            _occlusion(predict, network, batch),
        )


def agreement(one: AnyFloats, other: AnyFloats, *, k: int = 5) -> Agreement:
    """Spearman's rank correlation and the overlap of the top k.

    Args:
        one: A value for each feature, (F,); higher is more important.
        other: Likewise. A feature that is NaN in either is left out.
        k: Number of top features.

    Raises:
        ValueError: If the shapes differ or are not (F,), or `k` is below 1.
    """
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            "Expected argument `one` to have shape (F,) and `other` the same, but got "
            f"{one.shape} and {other.shape}."
        )
    if k < 1:
        raise ValueError(f"Expected argument `k` to be at least 1, but got {k}.")
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    k = min(k, len(one))
    if k == 0:
        return Agreement(float("nan"), float("nan"), 0)
    varied = np.ptp(one) > 0 and np.ptp(other) > 0
    return Agreement(
        spearman=float(spearmanr(one, other).statistic) if varied else float("nan"),
        overlap=float(_top(one, k) @ _top(other, k) / k),
        k=k,
    )


def _permutation(
    predict: Callable[[LesionBatch], Tensor],
    batch: LesionBatch,
    columns: list[slice],
    shuffles: list[Tensor],
) -> Floats:
    before = F.nll_loss(predict(batch), batch.target)
    rises = np.empty((len(columns), len(shuffles)))
    for feature, block in enumerate(columns):
        for repeat, shuffle in enumerate(shuffles):
            metadata, missing = batch.metadata.clone(), batch.missing.clone()
            metadata[:, block] = metadata[shuffle, block]
            missing[:, feature] = missing[shuffle, feature]
            shuffled = predict(batch._replace(metadata=metadata, missing=missing))
            rises[feature, repeat] = (F.nll_loss(shuffled, batch.target) - before).item()
    return rises.mean(1)


def _occlusion(
    predict: Callable[[LesionBatch], Tensor], network: LesionNetwork, batch: LesionBatch
) -> Floats:
    before, predicted = predict(batch).exp().max(1)
    drops = np.full(batch.missing.shape[1], np.nan)
    for feature in range(len(drops)):
        observed = (~batch.missing[:, feature]).nonzero().flatten()
        if not len(observed):
            continue
        cases = batch.cases(observed.tolist())
        hidden = torch.zeros_like(cases.missing)
        hidden[:, feature] = True
        without = predict(perturb_features(network, cases, hidden))
        after = without.exp().gather(1, predicted[observed].unsqueeze(1)).squeeze(1)
        drops[feature] = (before[observed] - after).mean().item()
    return drops


def _top(values: AnyFloats, k: int) -> Floats:
    """Probability of each feature to be among the k highest if ties are broken at random."""
    threshold = np.sort(values)[-k]
    above, level = values > threshold, values == threshold
    chance: Floats = above + level * (k - above.sum()) / level.sum()
    return chance
