"""The gallery of cases on a page: images with relevance maps, probabilities, feature relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitatt.reports.section import Table


@dataclass(frozen=True)
class GalleryFeature:
    """One metadata feature of a case.

    Attributes:
        label: Name of the feature.
        value: The patient's own, with its unit; None where not recorded.
        shares: Share in the relevance of all features, in [0, 1], for each series.
    """

    label: str
    value: str | None
    shares: tuple[float, ...]


@dataclass(frozen=True)
class GalleryCase:
    """One case of the gallery.

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
        image_share: Share of the image in all relevance; None where not defined.
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
    features: Sequence[GalleryFeature]
    image_share: float | None


@dataclass(frozen=True)
class Gallery:
    """All cases of a page, with filters.

    Attributes:
        cases: The cases.
        table: One row for each case, in the same order.
        true_classes: Choices of the filter by true class.
        predicted_classes: Choices of the filter by predicted class.
        scale: Data address of the colours of the maps.
    """

    cases: Sequence[GalleryCase]
    table: Table
    true_classes: Sequence[str]
    predicted_classes: Sequence[str]
    scale: str

    ANCHOR = "cases"
    """Id of the gallery on its page."""
