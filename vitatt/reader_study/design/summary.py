"""A study in words for its operator: counts of cases by stratum, power, effort."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reader_study.study_case import StudyCase


def summary(manifest: Manifest, model: ReaderModel, notes: Sequence[str]) -> list[str]:
    """Lines on a new study.

    Args:
        manifest: Of the study.
        model: Assumptions about readers, for the time.
        notes: Requests that could not be met.
    """
    cases, readers, power = manifest.cases, manifest.readers, manifest.power
    periods = {len(reader.schedule) for reader in readers}
    wrong = sum(not case.stratum.ai_correct for case in cases)
    reference, arm = manifest.analysis.primary_contrast
    difference = power.assumptions.get("mean difference", 0)
    lines = [
        f"{manifest.question}",
        f"Source: {manifest.source.dataset}, {manifest.source.fold}.",
        f"Cases: {len(cases)} of as many groups, and {len(manifest.training_cases)} training cases "
        "of other groups.",
        *(f"  {name:11} {_counts(values)}" for name, values in _strata(cases).items()),
        f"  AI          wrong in {wrong} ({wrong / len(cases):.0%}), right in {len(cases) - wrong}",
        *notes,
        f"Arms: {', '.join(arm.name for arm in manifest.arms)}; {manifest.design}, "
        + (
            f"{max(periods)} periods with a wash-out of {manifest.washout_days} days."
            if max(periods) > 1
            else "one period."
        ),
        f"Readers: {len(readers)}; readings: {manifest.stopping.readings}, "
        f"{manifest.stopping.readings // len(readers)} of each reader; expected time: "
        f"{_minutes(manifest, model)} minutes of each reader.",
        f"Power: {power.value:.0%} for {manifest.analysis.primary_metric} of {arm} against "
        f"{reference} at level {1 - manifest.analysis.level:.2g}, if the readers are as assumed "
        f"(mean difference {difference:+.3f}); {power.method}, {power.simulations} simulations.",
    ]
    return [line for line in lines if line]


def next_steps(folder: Path) -> list[str]:
    """Lines on what to do with a new study."""
    return [
        f"Study: {folder}",
        f"Keep {folder / 'tokens.csv'} secret: it opens each reader's cases. Keep a copy of "
        f"{folder / 'manifest.sha256'} elsewhere.",
        f"Next: vitatt study serve {folder}",
        f"or, to see the whole course with simulated readers: vitatt study simulate {folder}",
    ]


def _strata(cases: Sequence[StudyCase]) -> dict[str, list[str]]:
    skin = [case.stratum.skin_type for case in cases]
    found: dict[str, list[str]] = {
        "class": [case.truth for case in cases],
        "difficulty": [case.stratum.difficulty for case in cases],
    }
    return found | ({"skin type": [one or "unknown" for one in skin]} if any(skin) else {})


def _counts(values: Sequence[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(values).items()))


def _minutes(manifest: Manifest, model: ReaderModel) -> int:
    """Expected minutes of a reader, from the medians of the assumptions."""
    seconds = 0.0
    mean_of_median = float(_mean_factor(model.seconds_spread))
    for arm in manifest.arms:
        explained = arm.shows_map is not None or arm.shows_answers
        factor = model.explained_seconds if explained else model.ai_seconds if arm.shows_ai else 1
        seconds += model.seconds * factor * mean_of_median
    return round(seconds * len(manifest.cases) / 60)


def _mean_factor(spread: float) -> float:
    """Mean over median of a log-normal distribution."""
    return math.exp(spread**2 / 2)
