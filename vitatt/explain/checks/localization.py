"""Agreement of relevance maps with lesion masks.

Metrics are to be compared with those of maps that do not depend on the image. Lesions are mostly in
the centre, so that `centre_gaussian` is the baseline; the pointing game of a random map is the
share of the mask in the image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Localization(NamedTuple):
    """Agreement of each map with its mask, each (B,), between 0 and 1.

    Attributes:
        pointing: See `pointing_game`.
        mass: See `mass_in_mask`.
        iou: See `best_iou`.
    """

    pointing: Tensor
    mass: Tensor
    iou: Tensor


def localize(maps: Tensor, masks: Tensor) -> Localization:
    """All three metrics.

    Args:
        maps: Relevance (B, H, W), not negative.
        masks: True on the lesion, (B, H, W) bool, each with at least one such pixel.

    Raises:
        ValueError: If shapes differ, relevance is negative or not finite, or a mask is not bool or
            holds no lesion.
    """
    return Localization(
        pointing_game(maps, masks), mass_in_mask(maps, masks), best_iou(maps, masks)
    )


def upsample(relevance: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, H, W) in pixels, from a patch grid (B, h, w) that covers the whole image.

    Bilinear between the patches' centres, as `vitatt.plotting.heatmap.heatmap` draws them.

    Raises:
        ValueError: If `relevance` does not have three dimensions.
    """
    if relevance.ndim != 3:
        raise ValueError(
            "Expected argument `relevance` to have shape (B, h, w), but got "
            f"{tuple(relevance.shape)}."
        )
    return F.interpolate(
        relevance.unsqueeze(1), size=size, mode="bilinear", align_corners=False
    ).squeeze(1)


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of a map's maximal pixels that lie in its mask, (B,): 1 or 0 if only one is maximal.

    Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, without their
    tolerance of 15 pixels around the mask. A constant map gets the share of the mask in the image.

    Args:
        maps: Relevance (B, H, W), not negative.
        masks: True on the lesion, (B, H, W) bool.

    Raises:
        ValueError: As `localize` does.
    """
    maps, masks = _flat(maps, masks)
    maximal = maps == maps.amax(1, keepdim=True)
    return (maximal & masks).sum(1) / maximal.sum(1)


def mass_in_mask(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of a map's relevance that lies in its mask, (B,); NaN where all relevance is 0.

    Args:
        maps: Relevance (B, H, W), not negative.
        masks: True on the lesion, (B, H, W) bool.

    Raises:
        ValueError: As `localize` does.
    """
    maps, masks = _flat(maps, masks)
    # In float64: half precision would overflow on the sum over an image.
    inside = (maps * masks).sum(1, dtype=torch.float64)
    return (inside / maps.sum(1, dtype=torch.float64)).float()


def best_iou(maps: Tensor, masks: Tensor) -> Tensor:
    """Largest intersection over union of a mask and its map cut at any threshold, (B,).

    The threshold is chosen by the mask, so that the metric compares methods but overestimates a
    segmentation by the map. It is at least the share of the mask in the image, which is that of the
    lowest threshold.

    Args:
        maps: Relevance (B, H, W), not negative.
        masks: True on the lesion, (B, H, W) bool.

    Raises:
        ValueError: As `localize` does.
    """
    maps, masks = _flat(maps, masks)
    ordered, order = maps.sort(dim=1, descending=True)
    inside = masks.gather(1, order).cumsum(1)
    above = torch.arange(1, maps.shape[1] + 1, device=maps.device)
    ious = inside / (above + masks.sum(1, keepdim=True) - inside)
    # A threshold cannot separate pixels of equal relevance: only cuts after the last are possible.
    tied = ordered[:, :-1] == ordered[:, 1:]
    ious[:, :-1].masked_fill_(tied, 0)
    return ious.amax(1)


def centre_gaussian(size: tuple[int, int], sigma: float = 0.25) -> Tensor:
    """A map (h, w) that is 1 in the centre and does not depend on the image, as baseline.

    Args:
        size: Rows and columns.
        sigma: Standard deviation, as a share of each side.

    Raises:
        ValueError: If a side is below 1, or `sigma` is not positive.
    """
    if min(size) < 1:
        raise ValueError(f"Expected argument `size` to be at least (1, 1), but got {size}.")
    if not sigma > 0:
        raise ValueError(f"Expected argument `sigma` to be positive, but got {sigma}.")
    # Distances of the pixels' centres from the image's, exactly symmetric, so that ties stay ties.
    rows, columns = (torch.arange(1 - side, side, 2) / (2 * side * sigma) for side in size)
    return torch.outer(torch.exp(-rows.square() / 2), torch.exp(-columns.square() / 2))


def _flat(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and masks as (B, H * W), after checks."""
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(
            "Expected argument `maps` to have shape (B, H, W) and `masks` the same, but got "
            f"{tuple(maps.shape)} and {tuple(masks.shape)}."
        )
    if masks.dtype != torch.bool:
        raise ValueError(f"Expected argument `masks` to be bool, but got {masks.dtype}.")
    if not maps.isfinite().all():
        bad = int((~maps.isfinite()).sum())
        raise ValueError(
            f"Expected argument `maps` to be finite, but got {bad} values that are not."
        )
    if (maps < 0).any():
        raise ValueError(
            f"Expected argument `maps` not to be negative, but got {maps.min().item():.3g}."
        )
    maps, masks = maps.flatten(1), masks.flatten(1)
    if empty := (~masks.any(1)).nonzero().flatten().tolist():
        raise ValueError(
            f"Expected argument `masks` to have a lesion in every mask, but got none in {empty}."
        )
    return maps, masks
