"""Evidence that simulated readers draw on the image and tick among the patient's answers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.reader_study.evidence_mask import SIDE, encode_mask
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reader_study.study_case import StudyCase

_JITTER = 0.04  # of the place of a drawing, as a share of the image
_SIZES = (0.08, 0.2)  # half the side of a box or radius of a brush, as a share of the image


_SHAPES: dict[str | None, tuple[str | None, ...]] = {
    "box": ("box",),
    "brush": ("brush",),
    "both": ("box", "brush"),
    None: (None,),
}


class _Point(NamedTuple):
    """A point of an image, each coordinate in [0, 1]."""

    row: float
    column: float


def with_evidence(
    readings: pl.DataFrame,
    manifest: Manifest,
    folder: Path,
    model: ReaderModel,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return simulated readings with drawn evidence and ticked answers, where the study asks them.

    Evidence lies around the peak of the TMME map with the accuracy of `ReaderModel`, else around
    any point. Up to two answers are ticked, those of the strongest evidence with that accuracy.

    Args:
        readings: Without evidence.
        manifest: Of the study.
        folder: Of the study, with the maps.
        model: Assumptions about readers.
        rng: Random numbers.
    """
    ask, cases = manifest.ask, manifest.case_by_id
    shows_map = {arm.name: arm.shows_map is not None for arm in manifest.arms}
    peaks = {case.case_id: _peak(case, folder) for case in manifest.cases}
    shapes = _SHAPES[ask.drawing]
    masks, ticked, drawn = [], [], []
    for case_id, arm in readings.select("case_id", "arm").iter_rows():
        accuracy = model.drawing_accuracy_explained if shows_map[arm] else model.drawing_accuracy
        peak = peaks[case_id]
        shape = shapes[int(rng.integers(len(shapes)))]
        known = peak is not None and rng.random() < accuracy
        point = peak if known and peak is not None else _Point(*rng.random(2))
        masks.append(encode_mask(_mask(point, shape, rng)) if shape else None)
        drawn.append(shape)
        ticked.append(_ticked(cases[case_id], accuracy, rng) if ask.features else "")
    return readings.with_columns(
        pl.Series("evidence_mask", masks, dtype=pl.String),
        pl.Series("evidence_features", ticked, dtype=pl.String),
        pl.Series("drawn_shape", drawn, dtype=pl.String),
    )


def _peak(case: StudyCase, folder: Path) -> _Point | None:
    """The centre of the patch of the highest relevance of the first view, if there is a map."""
    maps = case.maps.get("tmme") or next(iter(case.maps.values()), ())
    if not maps:
        return None
    grid = np.load(folder / maps[0].grid, allow_pickle=False)
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    return _Point((row + 0.5) / grid.shape[0], (column + 0.5) / grid.shape[1])


def _mask(point: _Point, shape: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    centre = np.asarray(point) + _JITTER * rng.standard_normal(2)
    half = rng.uniform(*_SIZES)
    rows, columns = (np.indices((SIDE, SIDE)) + 0.5) / SIDE
    vertical, horizontal = np.abs(rows - centre[0]), np.abs(columns - centre[1])
    if shape == "brush":
        mask = np.hypot(vertical, horizontal) <= half
    else:
        mask = np.maximum(vertical, horizontal) <= half
    row, column = (centre * SIDE).astype(int).clip(0, SIDE - 1)
    mask[row, column] = True  # a drawing near the edge is not empty
    return mask


def _ticked(case: StudyCase, accuracy: float, rng: np.random.Generator) -> str:
    names = sorted(case.answers)
    count = min(len(names), int(rng.integers(0, 3)))
    if rng.random() < accuracy:
        chosen = sorted(names, key=lambda name: -abs(case.evidence.get(name, 0.0)))[:count]
    else:
        chosen = [str(name) for name in rng.permutation(np.array(names, dtype=object))[:count]]
    return ";".join(sorted(chosen))
