"""Sanity checks of relevance: randomised weights, and slight noise in the image."""

from __future__ import annotations

import copy
import re

import torch
from scipy.stats import spearmanr
from torch import Tensor

from vitatt.explain.methods import explain
from vitatt.explain.methods.relevance import Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch


def randomisation(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor,
    relevance: Relevance,
    *,
    method: str,
    points: int | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Correlation of relevance before and after weights are randomised, layer by layer.

    Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, section 3: cascading
    randomisation from the logits down to the pixels. Weights of a layer are replaced by normal
    noise of the same mean and deviation, so that activations keep their size.

    Args:
        network: Any network the method applies to; left as it was.
        batch: Cases, as pixels.
        target: Classes explained, (B, K).
        relevance: Of these classes by the untouched network.
        method: Of `vitatt.explain.methods`.
        points: Number of evenly spaced stages at which to explain again, the last with all layers
            randomised; by default after each layer.
        seed: Seed of the noise.

    Returns:
        Spearman's correlation of all relevance (patches and features) with that of the untouched
        network, (B,), by the name of the last layer that was randomised, top first. It should be
        near 0; near 1, relevance does not depend on the weights.
    """
    before = _flat(relevance)
    with torch.inference_mode(False):  # else the copied weights would exclude differentiation
        destroyed = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    layers: dict[str, list[Tensor]] = {}
    for name, parameter in destroyed.named_parameters():
        layers.setdefault(_layer(name), []).append(parameter)
    points = points or len(layers)
    ends = {-(-len(layers) * point // points) for point in range(1, points + 1)}
    found = {}
    for count, (layer, parameters) in enumerate(reversed(layers.items()), start=1):
        for weights in parameters:
            _randomise(weights, generator)
        if count not in ends:
            continue
        after = _flat(explain(destroyed, batch, target, method=method))
        found[layer] = _correlations(before, after)
    return found


def stability(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor,
    relevance: Relevance,
    *,
    method: str,
    noise: float = 5.0,
    seed: int = 0,
) -> Tensor:
    """Spearman's correlation (B,) of relevance with that of the same image under slight noise.

    Args:
        network: Any network the method applies to.
        batch: Cases, as pixels.
        target: Classes explained, (B, K), with and without noise.
        relevance: Of these classes without noise.
        method: Of `vitatt.explain.methods`.
        noise: Standard deviation, in grey levels of 0 to 255.
        seed: Seed of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    grain = noise * torch.randn(batch.pixels.shape, generator=generator)
    noisy = (batch.pixels.float() + grain.to(batch.pixels.device)).clamp(0, 255).round()
    after = explain(network, batch.with_pixels(noisy.to(batch.pixels)), target, method=method)
    return _correlations(_flat(relevance), _flat(after))


def _layer(name: str) -> str:
    """The layer a parameter belongs to: a block, or a part beside the blocks."""
    match = re.match(r"(.*?blocks\.\d+)\.|(encoder\.(?:vit|cnn)\.[^.]+)|([^.]+)", name)
    assert match is not None
    return next(group for group in match.groups() if group)


@torch.no_grad()
def _randomise(parameter: Tensor, generator: torch.Generator) -> None:
    if not parameter.numel():  # of a network without metadata
        return
    deviation, mean = torch.std_mean(parameter.float(), correction=0)
    noise = torch.randn(parameter.shape, generator=generator).to(parameter.device)
    parameter.copy_(mean + deviation * noise)


def _flat(relevance: Relevance) -> Tensor:
    """All relevance of each case, (B, K x (P + F))."""
    return torch.cat([relevance.patches.flatten(1), relevance.features.flatten(1)], dim=1).cpu()


def _correlations(one: Tensor, other: Tensor) -> Tensor:
    pairs = zip(one.double().numpy(), other.double().numpy(), strict=True)
    return torch.tensor([float(spearmanr(*pair).statistic) for pair in pairs])
