"""Cases, readers and their schedules as arrays, for the simulation of readings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitatt.reader_study.manifest import Manifest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SMALLEST = 1e-6
"""Of probabilities in log-odds."""


class StudyArrays(NamedTuple):
    """A study of R readers, C cases and K classes, with M scheduled readings.

    Attributes:
        truth: Class of each case, (C,).
        predicted: Class that the AI predicts, (C,).
        ease: Log-odds of the true class by the AI, standardised over the cases, (C,).
        confusions: Probability of each class given the true one, by the AI, (K, K); 0 on the
            diagonal: classes that a wrong diagnosis is drawn from.
        positive: Whether a class is positive, (K,).
        band: Experience band of each reader, (R,).
        shows_ai: By arm, (A,).
        explains: Whether an arm shows a map or the evidence of the answers, (A,).
        reader: Of each reading, (M,), in the order of each reader's schedule.
        arm: Of each reading, (M,).
        case: Of each reading, (M,).
        period: Of each reading, from 1, (M,).
        position: Within the period, from 1, (M,).
    """

    truth: Ints
    predicted: Ints
    ease: Floats
    confusions: Floats
    positive: NDArray[np.bool_]
    band: Ints
    shows_ai: NDArray[np.bool_]
    explains: NDArray[np.bool_]
    reader: Ints
    arm: Ints
    case: Ints
    period: Ints
    position: Ints


def study_arrays(manifest: Manifest) -> StudyArrays:
    """Return a study as arrays; readers whose band is asked at the start are spread over all."""
    classes = [one.name for one in manifest.classes]
    probabilities = np.array(
        [[case.ai.probabilities[name] for name in classes] for case in manifest.cases]
    )
    truth = np.array([classes.index(case.truth) for case in manifest.cases])
    readings = _readings(manifest)
    return StudyArrays(
        truth=truth,
        predicted=np.array([classes.index(case.ai.predicted) for case in manifest.cases]),
        ease=_ease(probabilities[np.arange(len(truth)), truth]),
        confusions=_confusions(probabilities, truth),
        positive=np.array([one.positive for one in manifest.classes]),
        band=bands_of(manifest),
        shows_ai=np.array([arm.shows_ai for arm in manifest.arms]),
        explains=np.array(
            [arm.shows_map is not None or arm.shows_answers for arm in manifest.arms]
        ),
        **{name: readings[:, place] for place, name in enumerate(_COLUMNS)},
    )


def bands_of(manifest: Manifest) -> Ints:
    """Experience band of each reader, from 0; of those without one, the bands by turns."""
    names = [one.name for one in manifest.experience]
    return np.array(
        [
            number % len(names) if one.experience is None else names.index(one.experience)
            for number, one in enumerate(manifest.readers)
        ]
    )


_COLUMNS = ("reader", "arm", "case", "period", "position")


def _readings(manifest: Manifest) -> NDArray[Any]:
    """Reader, arm, case, period and position of each scheduled reading, (M, 5)."""
    arms = {arm.name: place for place, arm in enumerate(manifest.arms)}
    cases = {case.case_id: place for place, case in enumerate(manifest.cases)}
    rows = [
        (reader, arms[arm], cases[case], period, position)
        for reader, one in enumerate(manifest.readers)
        for period, planned in enumerate(one.schedule, 1)
        for position, case in enumerate(planned.cases, 1)
        for arm in planned.arms
    ]
    return np.array(rows, dtype=np.int64)


def _ease(of_truth: Floats) -> Floats:
    clipped = of_truth.clip(_SMALLEST, 1 - _SMALLEST)
    log_odds = np.log(clipped) - np.log1p(-clipped)
    spread = log_odds.std()
    return (log_odds - log_odds.mean()) / (spread if spread > 0 else 1.0)


def _confusions(probabilities: Floats, truth: Ints) -> Floats:
    count = probabilities.shape[1]
    # One case of uniform probabilities for each class, so that every confusion is possible.
    table = np.full((count, count), 1 / count)
    np.add.at(table, truth, probabilities)
    np.fill_diagonal(table, 0)
    return table / table.sum(axis=1, keepdims=True)
