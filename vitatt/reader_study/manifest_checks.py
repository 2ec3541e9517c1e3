"""Contradictions within the plan of a reader study."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitatt.reader_study.manifest import Manifest, Reader
    from vitatt.reader_study.study_case import StudyCase

MINIMUM_WASHOUT = 28
"""Days between two periods of a crossover design: at least 4 weeks (FDA 2022, Clinical performance
assessment: considerations for computer-assisted detection devices applied to radiology images)."""

_FILE = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*\.(png|npy)")
"""Paths that a manifest may list: inside the study's folder, in plain letters."""

_TOLERANCE = 1e-3
"""Of the sum of probabilities, which are rounded."""


def contradictions(manifest: Manifest) -> list[str]:
    """Every contradiction in a plan, a sentence each."""
    return [
        *_of_names(manifest),
        *_of_time(manifest),
        *_of_analysis(manifest),
        *(line for case in _every_case(manifest) for line in _of_case(case, manifest)),
        *(line for reader in manifest.readers for line in _of_reader(reader, manifest)),
    ]


def _every_case(manifest: Manifest) -> tuple[StudyCase, ...]:
    return (*manifest.cases, *manifest.training_cases)


def _of_names(manifest: Manifest) -> Iterator[str]:
    cases = _every_case(manifest)
    lists = {
        "arms": [one.name for one in manifest.arms],
        "classes": [one.name for one in manifest.classes],
        "experience": [one.name for one in manifest.experience],
        "management": [one.name for one in manifest.management],
        "features": [one.name for one in manifest.features],
        "cases": [one.case_id for one in cases],
        "sources of cases": [one.source_id for one in cases],
        "groups of cases": [one.group for one in cases],
        "readers": [one.code for one in manifest.readers],
        "tokens of readers": [one.token_sha256 for one in manifest.readers],
    }
    for what, names in lists.items():
        if double := _double(names):
            yield f"{what}: {double} stands there twice"
    files = [
        path
        for case in cases
        for path in (
            *(image.file for image in case.images),
            *(path for maps in case.maps.values() for one in maps for path in (one.file, one.grid)),
        )
    ]
    if double := _double(files):
        yield f"files: {double} stands there twice"
    for path in files:
        if not _FILE.fullmatch(path):
            yield f"files: {path!r} is no path within the study's folder"
    if not any(one.positive for one in manifest.classes):
        yield "classes: none is positive"
    if manifest.ask.management and not manifest.management:
        yield "management: it is asked, but there are no options"
    if manifest.ask.top > len(manifest.classes):
        yield f"ask.top: expected at most {len(manifest.classes)}, the number of classes"


def _of_time(manifest: Manifest) -> Iterator[str]:
    if manifest.created.utcoffset() != datetime.timedelta(0):
        yield "created: expected a time in UTC"
    least = MINIMUM_WASHOUT if manifest.design == "crossover" and len(manifest.arms) > 1 else 0
    if manifest.washout_days < least:
        yield (
            f"washout_days: expected at least {least} between the periods of a crossover, but got "
            f"{manifest.washout_days}"
        )


def _of_analysis(manifest: Manifest) -> Iterator[str]:
    plan, arms = manifest.analysis, [arm.name for arm in manifest.arms]
    for arm in plan.primary_contrast:
        if arm not in arms:
            yield f"analysis.primary_contrast: there is no arm {arm}"
    if len(arms) > 1 and plan.primary_contrast[0] == plan.primary_contrast[1]:
        yield "analysis.primary_contrast: both arms are the same"
    if plan.primary_metric not in plan.metrics:
        yield f"analysis.metrics: the primary metric {plan.primary_metric} is not among them"


def _of_case(case: StudyCase, manifest: Manifest) -> Iterator[str]:
    classes = [one.name for one in manifest.classes]
    features = {one.name for one in manifest.features}
    where, probabilities = f"case {case.case_id}", case.ai.probabilities
    if case.truth not in classes:
        yield f"{where}: there is no class {case.truth}"
    if sorted(probabilities) != sorted(classes):
        yield f"{where}: expected a probability of each class"
    elif not math.isclose(sum(probabilities.values()), 1, abs_tol=_TOLERANCE):
        yield f"{where}: expected probabilities that sum to 1"
    elif probabilities.get(case.ai.predicted, 0) < max(probabilities.values()):
        yield f"{where}: {case.ai.predicted} is not the class of the highest probability"
    if case.stratum.ai_correct != (case.ai.predicted == case.truth):
        yield f"{where}: ai_correct contradicts truth and prediction"
    for what in (case.answers, case.evidence, case.relevance):
        if unknown := sorted(set(what) - features):
            yield f"{where}: there is no feature {unknown[0]}"
    views = [image.view for image in case.images]
    if double := _double(views):
        yield f"{where}: {double} stands there twice among the views"
    for method, maps in case.maps.items():
        if [one.view for one in maps] != views:
            yield f"{where}: expected a map of {method} for each view"
    for arm in manifest.arms:
        if arm.shows_map is not None and arm.shows_map not in case.maps:
            yield f"{where}: arm {arm.name} shows a map of {arm.shows_map}, which it lacks"


def _of_reader(reader: Reader, manifest: Manifest) -> Iterator[str]:
    where = f"reader {reader.code}"
    arms = {arm.name for arm in manifest.arms}
    cases = {case.case_id for case in manifest.cases}
    if reader.experience not in {None, *(one.name for one in manifest.experience)}:
        yield f"{where}: there is no experience {reader.experience}"
    for number, period in enumerate(reader.schedule, 1):
        if unknown := sorted(set(period.arms) - arms):
            yield f"{where}, period {number}: there is no arm {unknown[0]}"
        if unknown := sorted(set(period.cases) - cases):
            yield f"{where}, period {number}: there is no case {unknown[0]}"
        if double := _double(period.cases):
            yield f"{where}, period {number}: case {double} comes twice"
        if manifest.design == "crossover" and len(period.arms) > 1:
            yield f"{where}, period {number}: expected one arm in a period of a crossover"
    if manifest.design == "sequential" and len(reader.schedule) > 1:
        yield f"{where}: expected one period in the sequential design"
    readings = [
        f"{arm}, {case}"
        for period in reader.schedule
        for arm in period.arms
        for case in period.cases
    ]
    if double := _double(readings):
        yield f"{where}: {double} is read twice"


def _double(names: Sequence[str] | Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
