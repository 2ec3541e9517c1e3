"""A small made-up benchmark folder, as `vitatt benchmark` leaves it, with skill by arm."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import softmax

from vitatt.evaluation.arms import score_arms
from vitatt.evaluation.comparison import compare_arms
from vitatt.evaluation.out_of_fold import average_seeds
from vitatt.evaluation.ranks import rank_arms
from vitatt.evaluation.subgroups import largest_gaps, score_subgroups
from vitatt.reports.benchmark.facts import Facts
from vitatt.types import PositiveClass

CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
TITLES = ("keratosis", "carcinoma", "melanoma", "nevus", "another", "warts")
SHARES = (0.3, 0.35, 0.06, 0.1, 0.09, 0.1)
FEATURES = ("fitspatrick", "gender", "age", "region", "itch")
HOSTILE = "Mutual attention <b>with</b> soft labels & a long name | of twelve words"
ARMS: dict[str, tuple[float, str, str]] = {
    "vitatt": (1.6, "ViTAtt", "arXiv 2304.14505"),
    "image_only": (0.9, "image only", ""),
    "vitatt_hc5": (1.5, "ViTAtt, HC-5", "arXiv 2304.14505"),
    "mutual_attention": (1.3, HOSTILE, "Cai et al. 2022"),
}
"""Skill, title and source."""


def predictions(
    arms: Mapping[str, tuple[float, str, str]] = ARMS,
    *,
    cases: int = 120,
    folds: int = 3,
    seeds: tuple[int, ...] = (0, 1),
) -> pl.DataFrame:
    """Out-of-fold predictions: logits of noise, with `skill` on top for the true class."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, cases * 3 // 4, cases)
    true = rng.choice(len(CLASSES), cases, p=SHARES)
    gaps = rng.random((len(FEATURES), cases)) < 0.12

    def column(number: int, values: Any) -> list[Any]:
        return [None if gap else value for gap, value in zip(gaps[number], values, strict=True)]

    facts = pl.DataFrame(
        {
            "fold": group % folds,
            "case_id": [f"PAT_{n}" for n in range(cases)],
            "group": [f"patient {n}" for n in group],
            "true": [CLASSES[n] for n in true],
            "fitspatrick": column(
                0, rng.choice(list("12345"), cases, p=[0.1, 0.5, 0.3, 0.08, 0.02])
            ),
            "gender": column(1, rng.choice(["FEMALE", "MALE"], cases)),
            "age": column(2, rng.integers(20, 90, cases).astype(float)),
            "region": column(3, rng.choice(["FACE", "ARM", "BACK", "LIP"], cases)),
            "itch": column(4, rng.choice(["True", "False"], cases)),
        }
    )
    frames = []
    for arm, (skill, _, _) in arms.items():
        of_arm = rng.normal(size=(cases, len(CLASSES)))
        for seed in seeds:
            logits = of_arm + 0.7 * rng.normal(size=of_arm.shape)
            logits[np.arange(cases), true] += skill
            p = softmax(1.8 * logits, axis=1)
            frames.append(
                facts.select(
                    pl.lit(arm).alias("arm"),
                    "fold",
                    pl.lit(seed, pl.Int64).alias("seed"),
                    *("case_id", "group", "true"),
                    *(pl.Series(f"p_{name}", p[:, n]) for n, name in enumerate(CLASSES)),
                    (1.5 + 0.1 * pl.col("fold")).alias("temperature"),
                    *FEATURES,
                )
            )
    return pl.concat(frames)


def protocol(
    frame: pl.DataFrame, arms: Mapping[str, tuple[float, str, str]] = ARMS
) -> dict[str, Any]:
    """Facts of these predictions."""
    once = frame.unique("case_id")
    counts = dict(once["true"].value_counts().iter_rows())
    return {
        "dataset": "pad_ufes_20",
        "title": "PAD-UFES-20",
        "classes": list(CLASSES),
        "class_titles": dict(zip(CLASSES, TITLES, strict=True)),
        "group": "patient",
        "features": list(FEATURES),
        "feature_labels": {"fitspatrick": "Fitzpatrick type"},
        "cases": once.height,
        "groups": once["group"].n_unique(),
        "rows": once.height + 7,
        "absent": 5,
        "unreadable": 2,
        "class_counts": {name: counts.get(name, 0) for name in CLASSES},
        "num_folds": frame["fold"].n_unique(),
        "inner_folds": 10,
        "seeds": frame["seed"].unique().sort().to_list(),
        "encoder": "vit_small_patch14_dinov2",
        "frozen": True,
        "image_size": 224,
        "reference": "vitatt",
        "arms": {
            name: {"title": title, "source": source} for name, (_, title, source) in arms.items()
        },
        "checks": [
            {"check": "a patient in two folds", "outcome": "none of 90", "ok": True},
            {"check": "missing anamnesis", "outcome": "every such row is benign", "ok": False},
        ],
        "command": "vitatt benchmark --config conf/benchmark/pad.yaml --output runs/benchmark",
        "positive": "MEL",
        "question": "Does metadata help?",
    }


def write_benchmark(
    folder: Path, arms: Mapping[str, tuple[float, str, str]] = ARMS, **changes: Any
) -> Path:
    """Protocol and predictions, without tables; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = predictions(arms, **changes)
    frame.write_parquet(folder / "predictions.parquet")
    (folder / "protocol.json").write_text(json.dumps(protocol(frame, arms)))
    return folder


@functools.cache
def source() -> tuple[Facts, pl.DataFrame, dict[str, pl.DataFrame]]:
    """Facts, predictions and tables of the default folder, made once a process."""
    frame = predictions()
    facts = Facts.from_plain(protocol(frame), "protocol.json")
    averaged = average_seeds(frame.filter(arm="vitatt"))
    subgroups = score_subgroups(averaged, CLASSES, ["fitspatrick", "gender", "age"])
    tables = {
        "arms": score_arms(frame, CLASSES, FEATURES, PositiveClass("MEL", "melanoma")),
        "pairs": compare_arms(frame, CLASSES, "vitatt"),
        "ranks": rank_arms(frame, CLASSES, "balanced accuracy"),
        "subgroups": subgroups,
        "gaps": largest_gaps(subgroups),
    }
    return facts, frame, tables
