"""What the report keeps of one case: plots as data addresses, numbers as shares."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.feature_bars import feature_shares
from vitatt.plotting.heatmap import check_image, check_relevance, fit_image, overlay

# Longer sides in pixels. A tile is up to 280 wide; a map has only some 14 cells a side, and the
# browser interpolates the rest.
_IMAGE_SIDE = 420
_MAP_SIDE = 128


@dataclass(frozen=True)
class ReportFeature:
    """One metadata feature of a case.

    Attributes:
        label: Name of the feature.
        value: The patient's own, with its unit; None where not recorded.
        shares: Of the relevance of all features, in [0, 1], one a series.
    """

    label: str
    value: str | None
    shares: tuple[float, ...]


@dataclass(frozen=True)
class ReportCase:
    """One case as the page shows it.

    Attributes:
        case_id: Published name.
        true_class: None where unknown.
        predicted_class: The most probable one.
        probability: Of the predicted class.
        verdict: ``right``, ``wrong`` or ``unknown``.
        image: Data address of the image.
        size: Width and height of the image, in pixels.
        maps: Data address of an overlay by title; None for a map without contrast.
        probabilities: By class.
        series: Titles of the relevance of features.
        features: The most relevant first.
        image_share: Image part of all relevance; None where not defined.
    """

    case_id: str
    true_class: str | None
    predicted_class: str
    probability: float
    verdict: str
    image: str
    size: tuple[int, int]
    maps: Mapping[str, str | None]
    probabilities: Mapping[str, float]
    series: Sequence[str]
    features: Sequence[ReportFeature]
    image_share: float | None


def report_case(case: ExplainedCase) -> ReportCase:
    """Reduce a case to what the page shows.

    Raises:
        ValueError: If shapes do not fit, or a relevance or probability is out of its range.
    """
    check_image(case.image, "image")
    for name, share in {**case.probabilities, "image_share": case.image_share}.items():
        if share is not None and not 0 <= share <= 1:
            raise ValueError(
                f"Expected `{name}` of case '{case.case_id}' to be in [0, 1], but got {share}"
            )
    for title, relevance in case.maps.items():
        check_relevance(relevance, f"maps['{title}']", ndim=2)
    image = case.image
    if max(image.shape[:2]) > _IMAGE_SIDE:
        image = fit_image(image, _IMAGE_SIDE)
    verdict = "right" if case.true_class == case.predicted_class else "wrong"
    return ReportCase(
        case_id=case.case_id,
        true_class=case.true_class,
        predicted_class=case.predicted_class,
        probability=case.probability,
        verdict="unknown" if case.true_class is None else verdict,
        image=_address(Image.fromarray(image), "JPEG", quality=85),
        size=(image.shape[1], image.shape[0]),
        maps={title: overlay_address(one) for title, one in case.maps.items()},
        probabilities=dict(case.probabilities),
        series=list(case.feature_relevance or {}) if case.feature_labels else [],
        features=_features(case),
        image_share=case.image_share if case.feature_labels else None,
    )


def overlay_address(relevance: NDArray[np.floating[Any]]) -> str | None:
    """Data address of a map (h, w) as a transparent PNG; None where it has no contrast.

    Raises:
        ValueError: As `overlay` does.
    """
    height, width = relevance.shape
    scale = _MAP_SIDE / max(height, width)
    pixels = overlay(relevance, (max(1, round(scale * height)), max(1, round(scale * width))))
    alpha = pixels[..., 3]
    if not alpha.any():
        return None
    # Each alpha has one colour, so a palette loses nothing and halves the file.
    palette = overlay(np.linspace(0, 1, 256)[None], (1, 256))[0]
    plot = Image.fromarray(alpha)
    plot.putpalette(palette[:, :3].tobytes())
    return _address(plot, "PNG", transparency=palette[:, 3].tobytes(), optimize=True)


def figure_address(pixels: NDArray[np.uint8]) -> str:
    """Data address of a drawn plot (H, W, 3)."""
    return _address(Image.fromarray(pixels), "PNG", optimize=True)


def _features(case: ExplainedCase) -> list[ReportFeature]:
    if not case.feature_labels:
        return []
    shares = feature_shares(case.feature_labels, case.feature_values, case.feature_relevance or {})
    features = [
        ReportFeature(label, value, tuple(map(float, column)))
        for label, value, column in zip(
            case.feature_labels, case.feature_values, shares.T, strict=True
        )
    ]
    return sorted(features, key=lambda feature: (-max(feature.shares), feature.value is None))


def _address(plot: Image.Image, kind: str, **settings: Any) -> str:
    content = io.BytesIO()
    plot.save(content, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
