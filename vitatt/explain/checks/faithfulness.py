"""Faithfulness of relevance: probability of the explained class as relevant parts are hidden.

Patches and features are hidden in the order of their relevance.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vitatt.explain.attention.differentiation import Function, differentiable
from vitatt.explain.methods.perturb import fill, perturb, pixel_mask
from vitatt.explain.methods.relevance import Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, split_views, stack_views

Test = Literal["most_relevant_first", "least_relevant_first", "deletion", "insertion"]
TESTS: dict[Test, str] = {
    "most_relevant_first": "patches and features hidden, most relevant first: lower is better",
    "least_relevant_first": "patches and features hidden, least relevant first: higher is better",
    "deletion": "patches blanked, most relevant first: lower is better",
    "insertion": "patches restored to a blurred image, most relevant first: higher is better",
}
"""Descriptions of the tests."""

STEPS = 10
"""Shares hidden: 0, 1/10, ..., 1."""

_BLUR = 0.08
"""Standard deviation of the blurred image, as a share of its side."""


class Curves(NamedTuple):
    """Probability of the explained class by share hidden (restored, for ``insertion``).

    Attributes:
        shares: (S + 1,), from 0 to 1.
        probability: By test, (B, S + 1).
    """

    shares: Tensor
    probability: dict[Test, Tensor]

    def areas(self) -> dict[Test, Tensor]:
        """Area under each case's curve by the trapezoidal rule, (B,), between 0 and 1."""
        return {
            test: torch.trapezoid(curve, self.shares) for test, curve in self.probability.items()
        }


def faithfulness(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, relevance: Relevance
) -> Curves:
    """Perturbation curves of a batch.

    Joint order of patches and features, most and least relevant first: Chefer et al., ICCV 2021,
    section 5 (positive and negative perturbation). Deletion and insertion of patches alone: Petsiuk
    et al., "RISE", BMVC 2018, section 4.3. Parts are hidden by `perturb`. Equally relevant parts
    are in a fixed order (rows of patches, then features), absent views and features that were not
    observed last.

    Args:
        network: Any network with an image encoder; left as it was.
        batch: Cases, as pixels.
        target: The class whose probability is measured, (B,).
        relevance: Relevance of the batch, K = 1.

    Raises:
        ValueError: If `relevance` is not of this network, this batch and one class.
    """
    _check(network, len(batch.target), relevance)
    joint = _ranks(relevance, batch, least_first=False)
    reverse = _ranks(relevance, batch, least_first=True)
    alone = _order(relevance.patches.flatten(1))
    shares = torch.linspace(0, 1, STEPS + 1, device=target.device)
    curves: dict[Test, list[Tensor]] = {test: [] for test in TESTS}
    with differentiable(network) as function, torch.no_grad():
        blurred = _blurred(network, batch.pixels)
        blank = fill(network, batch.pixels).expand_as(batch.pixels)
        for share in shares.tolist():
            cases: dict[Test, LesionBatch] = {
                "most_relevant_first": _hide_share(network, batch, joint, share, relevance),
                "least_relevant_first": _hide_share(network, batch, reverse, share, relevance),
            }
            inside = pixel_mask(_first(alone, share).view_as(relevance.patches[:, 0]), batch.pixels)
            without = torch.where(inside, blank, batch.pixels)
            restored = torch.where(inside, batch.pixels, blurred)
            cases["deletion"] = batch.with_pixels(without)
            cases["insertion"] = batch.with_pixels(restored)
            for test, changed in cases.items():
                curves[test].append(_probability(function, changed, target))
    return Curves(shares, {test: torch.stack(curve, dim=1) for test, curve in curves.items()})


def _check(network: LesionNetwork, size: int, relevance: Relevance) -> None:
    assert network.encoder is not None
    grid, count = network.grid_size, len(network.cardinalities)
    patches, features = relevance.patches.shape, relevance.features.shape
    columns = {count, min(count, 1)}  # one if all features share a token
    if patches != (size, 1, *grid) or features[:2] != (size, 1) or features[2] not in columns:
        raise ValueError(
            f"Expected argument `relevance` to be of {size} cases and one class, with {grid[0]} x "
            f"{grid[1]} patches and {count} features, but got shapes {tuple(patches)} and "
            f"{tuple(features)}."
        )


def _ranks(relevance: Relevance, batch: LesionBatch, *, least_first: bool) -> Tensor:
    """Place of each patch and each feature in the order of hiding, (B, P + F), from 0 on."""
    features = relevance.features[:, 0]
    values = torch.cat([relevance.patches.flatten(1), features], dim=1)
    values = -values if least_first else values
    num_patches = values.shape[1] - features.shape[1]
    if features.shape[1] == batch.missing.shape[1]:
        values = values.masked_fill(F.pad(batch.missing, (num_patches, 0)), -torch.inf)
    if (absent := batch.image.absent) is not None:
        of_patches = absent.repeat_interleave(num_patches // absent.shape[1], dim=1)
        values = values.masked_fill(F.pad(of_patches, (0, features.shape[1])), -torch.inf)
    return _order(values)


def _order(values: Tensor) -> Tensor:
    return values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def _first(ranks: Tensor, share: float) -> Tensor:
    return ranks < round(share * ranks.shape[1])


def _hide_share(
    network: LesionNetwork, batch: LesionBatch, ranks: Tensor, share: float, relevance: Relevance
) -> LesionBatch:
    hidden = _first(ranks, share)
    patches = hidden[:, : relevance.patches[0, 0].numel()].view_as(relevance.patches[:, 0])
    features = hidden[:, patches[0].numel() :]
    if features.shape[1] == 1:  # all features share a token, and go together
        features = features.expand_as(batch.missing)
    return perturb(network, batch, patches, features)


def _probability(function: Function, cases: LesionBatch, target: Tensor) -> Tensor:
    probabilities = function(cases).logits.float().softmax(1)
    return probabilities.gather(1, target.unsqueeze(1)).squeeze(1)


def _blurred(network: LesionNetwork, image: Tensor) -> Tensor:
    """The image (B, 3, V H, W) without detail, each view by itself."""
    assert network.encoder is not None
    views, sigma = network.encoder.views, _BLUR * image.shape[-1]
    size = [2 * round(2 * sigma) + 1] * 2
    blurred = gaussian_blur(split_views(image, views), kernel_size=size, sigma=[sigma] * 2)
    return stack_views(blurred, views)
