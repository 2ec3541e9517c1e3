"""Simulated readings, whose planted effects tests look for."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.reader_study.analysis.reading_arrays import ReadingArrays, reading_arrays
from vitatt.reader_study.readings_schema import READINGS, score_of

CLASSES = ("BCC", "MEL", "NEV", "SEK")
POSITIVE = ("BCC", "MEL")
BANDS = ("resident", "board-certified", "expert")
ARMS = ("no_ai", "ai", "ai_reasons")
DESIGN = {"classes": CLASSES, "positive": POSITIVE, "bands": BANDS, "arms": ARMS}


def simulate(
    rng: np.random.Generator,
    *,
    readers: int = 9,
    cases: int = 40,
    skill: Sequence[float] = (0.0, 0.6, 1.2),
    follow_right: Sequence[Sequence[float]] = ((0, 0, 0), (0.4, 0.3, 0.2), (0.4, 0.3, 0.2)),
    follow_wrong: Sequence[Sequence[float]] = ((0, 0, 0), (0.2, 0.1, 0.1), (0.2, 0.1, 0.1)),
    deviation: float = 0.4,
    difficulty: float = 1.0,
    ai_right: float = 0.8,
    noise: float = 0.1,
    cases_per_group: int = 1,
    num_bands: int = 3,
) -> pl.DataFrame:
    """Readings of a fully crossed study in three arms.

    A reader's own diagnosis is right with log odds of the band's skill + reader + case. In each
    arm a share `noise` of own diagnoses is made anew. With the shares `follow_right` and
    `follow_wrong` [arm][band], a reader takes over the AI's diagnosis where they differ.
    """
    truth = np.arange(cases) % len(CLASSES)
    wrong_ai = rng.permutation(cases) >= round(ai_right * cases)
    advice = np.where(wrong_ai, (truth + rng.integers(1, 4, cases)) % 4, truth)
    band = np.arange(readers) % num_bands
    odds = (
        np.array(skill)[band][:, None]
        + deviation * rng.normal(size=(readers, 1))
        + difficulty * rng.normal(size=cases)
    )

    def own() -> NDArray[np.int64]:
        right = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
        return np.where(right, truth, (truth + rng.integers(1, 4, odds.shape)) % 4)

    first = own()
    rows = []
    for number, arm in enumerate(ARMS):
        answer = np.where(rng.random(odds.shape) < noise, own(), first)
        follow = np.where(
            wrong_ai, *(np.array(of)[number][band][:, None] for of in (follow_wrong, follow_right))
        )
        answer = np.where((answer != advice) & (rng.random(odds.shape) < follow), advice, answer)
        for reader, case in np.ndindex(odds.shape):
            name = CLASSES[answer[reader, case]]
            confidence = float(
                np.clip(round(60 + 12 * odds[reader, case] + 15 * rng.normal()), 0, 100)
            )
            rows.append(
                {
                    "reader": f"R{reader:02}",
                    "experience": BANDS[band[reader]],
                    "arm": arm,
                    "period": number + 1,
                    "position": case + 1,
                    "case_id": f"c{case:03}",
                    "group": f"g{case // cases_per_group:03}",
                    "truth": CLASSES[truth[case]],
                    "ai_predicted": CLASSES[advice[case]],
                    "ai_probability": 0.7,
                    "ai_correct": bool(not wrong_ai[case]),
                    "diagnosis": name,
                    "confidence": confidence,
                    "score": score_of(confidence, name, frozenset(POSITIVE)),
                    "trust": int(rng.integers(1, 6)) if number else None,
                    "seconds": float(np.exp(3 + 0.3 * number + 0.5 * rng.normal())),
                    "submitted": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                    "evidence_features": "",
                }
            )
    return pl.DataFrame(rows, schema_overrides=READINGS).select(
        *(
            pl.col(name) if name in rows[0] else pl.lit(None, dtype=kind).alias(name)
            for name, kind in READINGS.items()
        )
    )


def arrays_of(readings: pl.DataFrame) -> ReadingArrays:
    return reading_arrays(readings, **DESIGN)


def logistic_outcomes(
    rng: np.random.Generator,
    fixed: NDArray[np.float64],
    cases: int,
    deviations: tuple[float, float, float, float],
) -> NDArray[np.float64]:
    """Correctness (A, R, N): log odds of arm and reader (A, R), plus random intercepts.

    Args:
        rng: Source of chance.
        fixed: Log odds of each arm and reader, without random intercepts.
        cases: N.
        deviations: Of readers, cases, readers within arms, and cases within arms.
    """
    arms, readers = fixed.shape
    reader, case, reader_arm, case_arm = deviations
    odds = (
        fixed[:, :, None]
        + reader * rng.normal(size=(1, readers, 1))
        + case * rng.normal(size=(1, 1, cases))
        + reader_arm * rng.normal(size=(arms, readers, 1))
        + case_arm * rng.normal(size=(arms, 1, cases))
    )
    return (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.float64)
