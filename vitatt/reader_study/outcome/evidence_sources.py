"""Maps and relevance of the cases of a study, as the analysis of drawn evidence takes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitatt.reader_study.analysis.agreement import Maps, Relevance
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_case import MAP_METHODS, StudyCase

METHOD_TITLES = {"tmme": "TMME", "attention": "attention", "grad_cam": "Grad-CAM"}
"""Methods of maps as reports name them."""


class EvidenceSources(NamedTuple):
    """Maps by method and case, and relevance of the answers by case; None if not asked or absent.

    Attributes:
        notes: Sentences on maps that say nothing.
    """

    maps: Maps | None
    relevance: Relevance | None
    notes: tuple[str, ...]


def evidence_sources(manifest: Manifest, folder: Path) -> EvidenceSources:
    """Read the maps of the first image of each case, on which readers draw.

    A map that is 0 everywhere is replaced by one that is equal everywhere: it says nothing.

    Args:
        manifest: Of the study.
        folder: Of the study; its files have been checked.
    """
    maps: dict[str, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = {}
    notes = []
    if manifest.ask.drawing is not None:
        for method in MAP_METHODS:
            own = [case for case in manifest.cases if case.maps.get(method)]
            if len(own) < len(manifest.cases):
                continue
            title = METHOD_TITLES[method]
            grids = {
                case.case_id: np.load(folder / case.maps[method][0].grid, allow_pickle=False)
                for case in own
            }
            empty = [name for name, grid in grids.items() if not grid.any()]
            if empty:
                notes.append(
                    f"The map of {title} is 0 everywhere on {_cases(empty)}; it counts as equal "
                    "everywhere."
                )
            maps[title] = {
                name: np.ones(grid.shape) if name in empty else grid.astype(np.float64)
                for name, grid in grids.items()
            }
    relevance = None
    if manifest.ask.features and any(case.relevance for case in manifest.cases):
        relevance = {case.case_id: _of_answers(case) for case in manifest.cases}
    return EvidenceSources(maps or None, relevance, tuple(notes))


def _of_answers(case: StudyCase) -> dict[str, float]:
    """Relevance of the answers that a reader could tick; 0 for those that the model did not see."""
    return {name: case.relevance.get(name, 0.0) for name in case.answers}


def _cases(names: Iterable[str]) -> str:
    found = list(names)
    return (
        f"case {found[0]}"
        if len(found) == 1
        else f"{len(found)} cases ({', '.join(found[:5])}" + (", ...)" if len(found) > 5 else ")")
    )
