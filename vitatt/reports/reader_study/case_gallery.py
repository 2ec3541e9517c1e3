"""The cases of a study: images, maps, where readers drew, and the share of right diagnoses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.images.reading import read_upright
from vitatt.evaluation.bootstrap import Floats
from vitatt.plotting.shares import format_percent
from vitatt.reader_study.evidence_mask import decode_mask
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.outcome.evidence_sources import METHOD_TITLES
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reader_study.study_case import MAP_METHODS, StudyCase
from vitatt.reports.addresses import jpeg_address, overlay_address
from vitatt.reports.cells import UNDEFINED, Cell
from vitatt.reports.gallery import Gallery, GalleryCase, GalleryFeature
from vitatt.reports.section import Column, Table

_IMAGE_SIDE = 420  # pixels of the longer side; a tile is up to 280 pixels wide
DRAWN = "drawn by readers"
"""Title of the map of drawn evidence."""


def case_gallery(outcome: StudyOutcome) -> Gallery:
    """The gallery of all cases of the study, each by its first image."""
    manifest = outcome.record.manifest
    drawn = _drawn(outcome.record.readings)
    titles = {one.name: one.title for one in manifest.features}
    cases = [
        _case(case, outcome.record.folder, drawn.get(case.case_id), titles)
        for case in manifest.cases
    ]
    scale = overlay_address(np.linspace(0, 1, 256)[None])
    assert scale is not None
    classes = [one.name for one in manifest.classes]
    return Gallery(
        cases,
        _table(manifest, outcome.cases),
        _occurring(classes, [case.true_class for case in cases]),
        _occurring(classes, [case.predicted_class for case in cases]),
        scale,
    )


def _case(
    case: StudyCase, folder: Path, drawn: Floats | None, titles: dict[str, str]
) -> GalleryCase:
    image: NDArray[np.uint8] = read_upright(folder / case.images[0].file, _IMAGE_SIDE)
    grids = {
        METHOD_TITLES[method]: np.load(folder / case.maps[method][0].grid, allow_pickle=False)
        for method in MAP_METHODS
        if case.maps.get(method)
    }
    maps = {title: overlay_address(grid) for title, grid in grids.items()}
    if drawn is not None:
        maps = {DRAWN: overlay_address(drawn), **maps}
    return GalleryCase(
        case_id=case.case_id,
        true_class=case.truth,
        predicted_class=case.ai.predicted,
        probability=case.ai.probabilities[case.ai.predicted],
        verdict="right" if case.stratum.ai_correct else "wrong",
        image=jpeg_address(image),
        size=(image.shape[1], image.shape[0]),
        maps=maps,
        probabilities=dict(case.ai.probabilities),
        series=["TMME"] if case.relevance else [],
        features=_features(case, titles),
        image_share=_image_share(case, folder),
    )


def _features(case: StudyCase, titles: dict[str, str]) -> list[GalleryFeature]:
    total = sum(case.relevance.values())
    features = [
        GalleryFeature(titles[name], case.answers.get(name), (value / total if total > 0 else 0.0,))
        for name, value in case.relevance.items()
    ]
    return sorted(features, key=lambda feature: (-feature.shares[0], feature.value is None))


def _image_share(case: StudyCase, folder: Path) -> float | None:
    """Share of all views in the relevance by TMME; None where it is not defined."""
    views = case.maps.get("tmme", ())
    image = sum(float(np.load(folder / one.grid, allow_pickle=False).sum()) for one in views)
    total = image + sum(case.relevance.values())
    return image / total if case.relevance and views and total > 0 else None


def _drawn(readings: pl.DataFrame) -> dict[str, Floats]:
    """Share of the drawings of each case that cover each cell, (64, 64)."""
    return {
        str(name): np.mean([decode_mask(text) for text in own["evidence_mask"]], axis=0)
        for (name,), own in readings.drop_nulls("evidence_mask").group_by("case_id")
    }


def _occurring(classes: Sequence[str], names: Sequence[str | None]) -> list[str]:
    return [name for name in classes if name in names]


def _table(manifest: Manifest, cases: pl.DataFrame) -> Table:
    skin = cases["skin_type"].is_not_null().any()
    names = ["id", "true", "AI predicts", "AI is", "probability", "difficulty"]
    names += ["skin type"] if skin else []
    columns = [Column(name, number=name == "probability") for name in names]
    columns += [Column(f"right, {arm.name}", "share of readings") for arm in manifest.arms]
    rows = []
    for number, row in enumerate(cases.iter_rows(named=True), start=1):
        cells = [
            Cell(row["case_id"], link=f"case-{number}"),
            Cell(row["truth"]),
            Cell(row["ai_predicted"]),
            Cell("right" if row["ai_correct"] else "wrong", verdict=True),
            Cell(f"{row['ai_probability']:.2f}", row["ai_probability"]),
            Cell(row["difficulty"]),
        ]
        cells += [Cell(row["skin_type"] or UNDEFINED)] if skin else []
        cells += [_share(row, arm.name) for arm in manifest.arms]
        rows.append(cells)
    return Table("Right diagnoses of each case", columns, rows)


def _share(row: dict[str, float | int | None], arm: str) -> Cell:
    value = row[f"right_{arm}"]
    if value is None:
        return Cell(UNDEFINED)
    return Cell(format_percent(value), value, f"of {row[f'readings_{arm}']}")
