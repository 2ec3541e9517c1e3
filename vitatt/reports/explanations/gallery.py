"""The gallery of explained cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.heatmap import check_image, check_relevance, fit_image
from vitatt.plotting.shares import feature_shares, format_percent
from vitatt.reports.addresses import jpeg_address, overlay_address
from vitatt.reports.cells import UNDEFINED, Cell
from vitatt.reports.gallery import Gallery, GalleryCase, GalleryFeature
from vitatt.reports.section import Column, Table

_IMAGE_SIDE = 420  # pixels of the longer side; a tile is up to 280 pixels wide


def make_gallery(cases: Iterable[ExplainedCase]) -> Gallery:
    """The gallery of these cases.

    Args:
        cases: One at a time: their pixels are not kept.

    Raises:
        ValueError: If there is no case, an id comes twice, or a case is malformed.
    """
    shown = [gallery_case(case) for case in cases]
    _check_ids(shown)
    scale = overlay_address(np.linspace(0, 1, 256)[None])
    assert scale is not None
    return Gallery(
        shown,
        _table(shown),
        _classes(shown, {case.true_class for case in shown}),
        _classes(shown, {case.predicted_class for case in shown}),
        scale,
    )


def gallery_case(case: ExplainedCase) -> GalleryCase:
    """A case with its images as data addresses and the relevance of its features as shares.

    Raises:
        ValueError: If shapes do not fit, or a relevance or probability is out of its range.
    """
    _check_case(case)
    image = case.image
    if max(image.shape[:2]) > case.num_views * _IMAGE_SIDE:
        image = fit_image(image, case.num_views * _IMAGE_SIDE)
    verdict = "right" if case.true_class == case.predicted_class else "wrong"
    return GalleryCase(
        case_id=case.case_id,
        true_class=case.true_class,
        predicted_class=case.predicted_class,
        probability=case.probability,
        verdict="unknown" if case.true_class is None else verdict,
        image=jpeg_address(image),
        size=(image.shape[1], image.shape[0]),
        maps={title: overlay_address(one, case.num_views) for title, one in case.maps.items()},
        probabilities=dict(case.probabilities),
        series=list(case.feature_relevance or {}) if case.feature_labels else [],
        features=_features(case),
        image_share=case.image_share if case.feature_labels else None,
    )


def _check_case(case: ExplainedCase) -> None:
    check_image(case.image, "image")
    for name, share in {**case.probabilities, "image_share": case.image_share}.items():
        if share is not None and not 0 <= share <= 1:
            raise ValueError(
                f"Expected `{name}` of case '{case.case_id}' to be in [0, 1], but got {share}"
            )
    for title, relevance in case.maps.items():
        check_relevance(relevance, f"maps['{title}']", ndim=2)


def _check_ids(cases: Sequence[GalleryCase]) -> None:
    if not cases:
        raise ValueError("Expected argument `cases` to hold at least one case, but got none")
    counts = Counter(case.case_id for case in cases)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"Expected argument `cases` to have each case once, but got more of {twice[:5]}"
        )


def _features(case: ExplainedCase) -> list[GalleryFeature]:
    if not case.feature_labels:
        return []
    shares = feature_shares(case.feature_labels, case.feature_values, case.feature_relevance or {})
    features = [
        GalleryFeature(label, value, tuple(map(float, column)))
        for label, value, column in zip(
            case.feature_labels, case.feature_values, shares.T, strict=True
        )
    ]
    return sorted(features, key=lambda feature: (-max(feature.shares), feature.value is None))


def _classes(cases: Sequence[GalleryCase], occurring: set[str | None]) -> list[str]:
    """Classes that occur, in the order of the logits; diagnoses unknown to the model come last."""
    known = dict.fromkeys(name for case in cases for name in case.probabilities)
    others = sorted(name for name in occurring if name is not None and name not in known)
    return [name for name in known if name in occurring] + others


def _table(cases: Sequence[GalleryCase]) -> Table:
    """One row for each case, linked to it."""
    names = ("id", "true", "predicted", "prediction", "confidence", "image share", "top feature")
    columns = [Column(name, number=name in ("confidence", "image share")) for name in names]
    rows = [
        [
            Cell(case.case_id, link=f"case-{number}"),
            Cell(case.true_class or UNDEFINED),
            Cell(case.predicted_class),
            Cell(case.verdict, verdict=True),
            Cell(f"{case.probability:.2f}", case.probability),
            _image_share(case),
            _top_feature(case),
        ]
        for number, case in enumerate(cases, start=1)
    ]
    return Table("Table of cases", columns, rows)


def _image_share(case: GalleryCase) -> Cell:
    if case.image_share is None:
        return Cell(UNDEFINED)
    return Cell(format_percent(case.image_share), case.image_share)


def _top_feature(case: GalleryCase) -> Cell:
    """The feature of the highest share for the first series."""
    top = max(case.features, key=lambda feature: feature.shares[0], default=None)
    if top is None or not top.shares[0]:
        return Cell(UNDEFINED)
    return Cell(top.label, note=format_percent(top.shares[0]))
