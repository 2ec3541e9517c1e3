"""Localisation against loops over explicit thresholds, scikit-learn, Pillow and chance."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import jaccard_score
from torch import Tensor

from vitatt.explain.checks.localization import (
    Localization,
    best_iou,
    centre_gaussian,
    localize,
    mass_in_mask,
    pointing_game,
    upsample,
)


def sample(
    seed: int, size: int = 6, height: int = 9, width: int = 7, levels: int | None = None
) -> tuple[Tensor, Tensor]:
    """Random maps, of a few levels only if there are to be ties, and blobs as masks."""
    rng = np.random.default_rng(seed)
    maps = rng.random((size, height, width))
    if levels:
        maps = rng.integers(0, levels, maps.shape) / levels
    masks = rng.random(maps.shape) < rng.uniform(0.1, 0.9, (size, 1, 1))
    masks[:, height // 2, width // 2] = True
    return torch.from_numpy(maps), torch.from_numpy(masks)


def naive(relevance: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """One map's metrics, pixel by pixel."""
    hits, maximal, inside, total = 0, 0, 0.0, 0.0
    for pixel, value in np.ndenumerate(relevance):
        total += value
        inside += value if mask[pixel] else 0
        if value == relevance.max():
            maximal += 1
            hits += bool(mask[pixel])
    best = 0.0
    for threshold in np.unique(relevance):
        cut = relevance >= threshold
        best = max(best, np.sum(cut & mask) / np.sum(cut | mask))
    return hits / maximal, inside / total if total else float("nan"), best


@pytest.mark.parametrize("levels", [None, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_loop_over_pixels_and_thresholds(seed: int, levels: int | None) -> None:
    maps, masks = sample(seed, levels=levels)
    expected = [naive(m, k) for m, k in zip(maps.numpy(), masks.numpy(), strict=True)]
    actual = torch.stack(localize(maps, masks), dim=1).double()
    torch.testing.assert_close(actual, torch.tensor(expected).double(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.long
def test_best_iou_is_the_best_jaccard_score_of_scikit_learn(levels: int | None) -> None:
    maps, masks = sample(10, levels=levels)
    for relevance, mask, iou in zip(
        maps.numpy(), masks.numpy(), best_iou(maps, masks), strict=True
    ):
        scores = [
            jaccard_score(mask.ravel(), (relevance >= t).ravel()) for t in np.unique(relevance)
        ]
        assert iou.item() == pytest.approx(max(scores), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_pointing_and_mass_agree_with_scipy(seed: int) -> None:
    maps, masks = sample(seed)
    for relevance, mask, pointing, mass in zip(
        maps.numpy(),
        masks.numpy(),
        pointing_game(maps, masks),
        mass_in_mask(maps, masks),
        strict=True,
    ):
        assert pointing.item() == mask[scipy.ndimage.maximum_position(relevance)]
        inside = scipy.ndimage.sum_labels(relevance, mask)
        assert mass.item() == pytest.approx(inside / relevance.sum(), rel=1e-6)


def test_metrics_by_hand() -> None:
    maps = torch.tensor([[[4.0, 4.0, 0.0], [1.0, 1.0, 0.0]]])
    masks = torch.tensor([[[True, False, False], [True, False, False]]])
    metrics = localize(maps, masks)
    assert metrics.pointing.item() == 0.5
    assert metrics.mass.item() == 0.5
    assert metrics.iou.item() == 0.5  # at threshold 1: 2 of 4 pixels; at 4: 1 of 3


def test_the_mask_itself_is_a_perfect_map_and_its_complement_the_worst() -> None:
    _, masks = sample(3)
    metrics = localize(masks.float(), masks)
    assert all((metric == 1).all() for metric in metrics)
    worst = localize((~masks).float(), masks)
    assert (worst.pointing == 0).all()
    assert (worst.mass == 0).all()
    # Only the lowest threshold, the whole image, meets the mask.
    torch.testing.assert_close(worst.iou, masks.float().mean((1, 2)))


def test_a_constant_map_gets_the_share_of_the_mask() -> None:
    _, masks = sample(4)
    share = masks.float().mean((1, 2))
    for metric in localize(torch.full(masks.shape, 0.3), masks):
        torch.testing.assert_close(metric, share)


def test_mass_of_a_map_of_zeros_is_undefined() -> None:
    maps, masks = sample(5)
    maps[2] = 0
    metrics = localize(maps, masks)
    assert metrics.mass.isnan().nonzero().flatten().tolist() == [2]
    assert metrics.pointing[2] == metrics.iou[2] == masks[2].float().mean()


@pytest.mark.parametrize("scale", [2.0**-40, 3.0, 1e30])
def test_metrics_do_not_depend_on_the_scale_of_a_map(scale: float) -> None:
    maps, masks = sample(6, levels=8)  # eighths keep their ties under any scale
    torch.testing.assert_close(
        localize((maps * scale).float(), masks), localize(maps.float(), masks), rtol=1e-6, atol=0
    )


def test_pointing_and_iou_see_the_order_alone() -> None:
    maps, masks = sample(7)
    assert torch.equal(pointing_game(maps**3, masks), pointing_game(maps, masks))
    assert torch.equal(best_iou(maps**3, masks), best_iou(maps, masks))


def test_cases_do_not_mix() -> None:
    maps, masks = sample(8, levels=5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    whole = localize(maps, masks)
    permuted = localize(maps[order], masks[order])
    for name in Localization._fields:
        assert torch.equal(getattr(permuted, name), getattr(whole, name)[order])
    alone = [localize(maps[i : i + 1], masks[i : i + 1]) for i in range(len(maps))]
    for name in Localization._fields:
        assert torch.equal(torch.cat([getattr(a, name) for a in alone]), getattr(whole, name))


def test_a_random_map_points_into_the_mask_as_often_as_the_mask_is_large() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(12, 12, dtype=torch.bool)
    mask[2:7, 3:9] = True
    share, count = mask.float().mean().item(), 20_000
    maps = torch.rand(count, 12, 12, generator=generator)
    metrics = localize(maps, mask.expand(count, -1, -1))
    error = 4 * (share * (1 - share) / count) ** 0.5
    assert metrics.pointing.mean().item() == pytest.approx(share, abs=error)
    assert metrics.mass.mean().item() == pytest.approx(share, abs=0.002)
    # Chosen with the mask in sight, the threshold wins even from noise.
    assert metrics.iou.mean().item() > share + 0.01
    assert (metrics.iou >= share - 1e-6).all()


def test_half_precision_does_not_overflow() -> None:
    maps = torch.full((1, 300, 300), 60_000.0, dtype=torch.float16)
    masks = torch.zeros(1, 300, 300, dtype=torch.bool)
    masks[:, :150] = True
    assert mass_in_mask(maps, masks).item() == 0.5


@pytest.mark.parametrize("size", [(56, 56), (180, 260), (31, 97)])
def test_upsampling_is_that_of_the_rendered_maps(size: tuple[int, int]) -> None:
    relevance = np.random.default_rng(0).random((3, 14, 12)).astype(np.float32)
    actual = upsample(torch.from_numpy(relevance), size)
    assert actual.shape == (3, *size)
    for grid, expanded in zip(relevance, actual.numpy(), strict=True):
        drawn = Image.fromarray(grid).resize(size[::-1], Image.Resampling.BILINEAR)
        np.testing.assert_allclose(expanded, np.asarray(drawn), rtol=0, atol=1e-5)


def test_centre_gaussian_is_the_density_at_the_pixel_centres() -> None:
    height, width, sigma = 5, 8, 0.3
    actual = centre_gaussian((height, width), sigma)
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) / height - 0.5, (column + 0.5) / width - 0.5
            expected = np.exp(-(y**2 + x**2) / (2 * sigma**2))
            assert actual[row, column].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [(7, 7), (14, 10), (224, 224), (1, 1)])
def test_centre_gaussian_is_exactly_symmetric_and_highest_in_the_middle(
    size: tuple[int, int],
) -> None:
    gaussian = centre_gaussian(size)
    assert gaussian.shape == size
    assert torch.equal(gaussian, gaussian.flip(0))
    assert torch.equal(gaussian, gaussian.flip(1))
    peaks = (gaussian == gaussian.max()).nonzero()
    middle = [{(side - 1) // 2, side // 2} for side in size]
    assert {int(row) for row, _ in peaks} == middle[0]
    assert {int(column) for _, column in peaks} == middle[1]


def test_a_lesion_in_the_middle_is_found_without_looking() -> None:
    maps = centre_gaussian((21, 21)).unsqueeze(0)
    middle, corner = torch.zeros(2, 1, 21, 21, dtype=torch.bool)
    middle[:, 7:14, 7:14], corner[:, :7, :7] = True, True
    found, missed = localize(maps, middle), localize(maps, corner)
    assert found.pointing.item() == 1
    assert missed.pointing.item() == 0
    assert found.mass.item() > 3 * missed.mass.item()
    assert found.iou.item() > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, k: (m[:, :-1], k), r"`maps` to have shape \(B, H, W\) .* got \(6, 8, 7\)"),
        (lambda m, k: (m[0], k[0]), r"`maps` to have shape \(B, H, W\) .* got \(9, 7\)"),
        (lambda m, k: (m - 0.5, k), r"`maps` not to be negative, but got -0\."),
        (lambda m, k: (m / 0, k), r"`maps` to be finite, but got 378 values"),
        (lambda m, k: (m.where(m < 0.99, torch.nan), k), r"`maps` to be finite, but got \d values"),
        (lambda m, k: (m, k.float()), r"`masks` to be bool, but got torch\.float32"),
        (
            lambda m, k: (m, k & (torch.arange(6) % 3 > 0)[:, None, None]),
            r"`masks` to have a lesion .* in \[0, 3\]",
        ),
    ],
    ids=["shapes", "dimensions", "negative", "infinite", "nan", "dtype", "empty"],
)
@pytest.mark.parametrize("metric", [localize, pointing_game, mass_in_mask, best_iou])
def test_what_has_no_answer_is_refused(metric, change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"Expected argument {message}"):
        metric(*change(*sample(0)))


def test_wrong_grids_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`relevance` to have shape \(B, h, w\), but got \(4, 4\)"
    ):
        upsample(torch.ones(4, 4), (8, 8))
    with pytest.raises(ValueError, match=r"`size` to be at least \(1, 1\), but got \(0, 3\)"):
        centre_gaussian((0, 3))
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"`sigma` to be positive, but got {sigma}"):
            centre_gaussian((3, 3), sigma)
