"""Out-of-fold predictions of made-up arms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

CLASSES = ("ACK", "BCC", "MEL", "NEV")


def make_predictions(
    skills: Mapping[str, float] | None = None,
    *,
    cases: int = 120,
    folds: int = 3,
    seeds: int = 2,
    seed: int = 0,
) -> pl.DataFrame:
    """Random predictions, the truer the higher an arm's skill; two images a patient.

    Metadata: ``age``, ``sex`` and ``fitspatrick``, each missing for some cases.
    """
    skills = {"image": 0.5, "fusion": 1.5} if skills is None else skills
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(cases) % len(CLASSES))
    patients = np.arange(cases) // 2
    facts = {
        "fold": patients % folds,
        "case_id": [f"img {number:04}" for number in range(cases)],
        "group": [f"PAT_{number}" for number in patients],
        "true": [CLASSES[target] for target in targets],
        "age": [None if n % 9 == 0 else float(20 + n % 70) for n in range(cases)],
        "sex": [None if n % 5 == 0 else "FM"[n % 2] for n in range(cases)],
        "fitspatrick": [str(1 + n % 3) if n % 4 else None for n in range(cases)],
    }
    frames = []
    for arm, skill in skills.items():
        shared = rng.normal(size=(cases, len(CLASSES))) + skill * np.eye(len(CLASSES))[targets]
        for number in range(seeds):
            scores = np.exp(shared + 0.5 * rng.normal(size=shared.shape))
            probabilities = scores / scores.sum(1, keepdims=True)
            frame = pl.DataFrame(facts).with_columns(
                arm=pl.lit(arm),
                seed=pl.lit(number, pl.Int64),
                temperature=pl.lit(1.0 + 0.5 * number),
                **{f"p_{name}": probabilities[:, n] for n, name in enumerate(CLASSES)},
            )
            frames.append(frame)
    return pl.concat(frames)
