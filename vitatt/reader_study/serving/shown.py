"""What a reader may see: everything that the server sends to a page is put together here.

Nothing is copied from a case as a whole. Truth, source, group and stratum are not read here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vitatt.reader_study.manifest import Arm, Manifest
from vitatt.reader_study.serving.addresses import opaque
from vitatt.reader_study.serving.reader_state import ReaderState
from vitatt.reader_study.serving.visits import Visit
from vitatt.reader_study.study_case import ImageFile, MapFile, StudyCase


class ShownFile(NamedTuple):
    """A file that a page may load now: its path in the study's folder, and its digest."""

    file: str
    sha256: str


def item_of(token: str, visit: Visit) -> str:
    """Return the opaque name of a visit."""
    return opaque(token, "visit", visit.case, visit.arm)


def shown_files(manifest: Manifest, visit: Visit, token: str) -> dict[str, ShownFile]:
    """Return the files that belong to a visit, by their opaque names."""
    case, arm = manifest.case_by_id[visit.case], manifest.arm_by_name[visit.arm]
    files: list[ImageFile | MapFile] = [*case.images, *_maps(case, arm)]
    return {_name(token, visit, one): ShownFile(one.file, one.sha256) for one in files}


def shown_case(manifest: Manifest, state: ReaderState, visit: Visit, token: str) -> dict[str, Any]:
    """Return the content of a case's page.

    Args:
        manifest: Of the study.
        state: Of the reader.
        visit: That is due.
        token: Of the reader.
    """
    case, arm = manifest.case_by_id[visit.case], manifest.arm_by_name[visit.arm]
    maps = {one.view: _address(token, visit, one) for one in _maps(case, arm)}
    return {
        "item": item_of(token, visit),
        "arm": arm.title,
        "shows_ai": arm.shows_ai,
        "place": {
            name: getattr(visit, name) for name in ("period", "position", "of", "step", "steps")
        }
        | {"periods": len(state.reader.schedule)},
        "images": [
            {
                "view": one.view,
                "address": _address(token, visit, one),
                "map": maps.get(one.view),
            }
            for one in case.images
        ],
        "answers": case.answers,
        "probabilities": case.ai.probabilities if arm.shows_ai else None,
        "predicted": case.ai.predicted if arm.shows_ai else None,
        "evidence": case.evidence if arm.shows_answers else None,
        "seconds": state.visible_seconds,
        "before": _before(state, visit),
    }


def study_settings(manifest: Manifest, language: str) -> dict[str, Any]:
    """Return what a page needs to know of the study, whatever the case.

    Args:
        manifest: Of the study.
        language: Of the page.
    """
    text = manifest.consent.text
    code = language if language in text else next(iter(text))
    return {
        "ask": manifest.ask.model_dump(),
        "diagnoses": [{"name": one.name, "title": one.title} for one in manifest.classes],
        "management": [one.model_dump() for one in manifest.management],
        "experience": [one.model_dump() for one in manifest.experience],
        "questions": [
            {"name": one.name, "title": one.title, "unit": one.unit} for one in manifest.features
        ],
        "consent": {"text": text[code], "language": code, "version": manifest.consent.version},
        "withdrawal": manifest.consent.withdrawal,
        "idle_minutes": manifest.idle_minutes,
    }


def _maps(case: StudyCase, arm: Arm) -> tuple[MapFile, ...]:
    return case.maps[arm.shows_map] if arm.shows_map else ()


def _name(token: str, visit: Visit, one: ImageFile | MapFile) -> str:
    return opaque(token, "file", visit.arm, one.file)


def _address(token: str, visit: Visit, one: ImageFile | MapFile) -> str:
    return f"/r/{token}/files/{_name(token, visit, one)}"


def _before(state: ReaderState, visit: Visit) -> dict[str, Any] | None:
    """This reader's answers on the case in the arm before, in the sequential design."""
    steps = (one for one in state.visits if one.case == visit.case)
    before = next((one for one in steps if one.step == visit.step - 1), None)
    if before is None or before.key not in state.recorded:
        return None
    kept = {"diagnosis", "second", "third", "confidence", "management", "drawing", "features"}
    return state.recorded[before.key].submission.model_dump(mode="json", include=kept)
