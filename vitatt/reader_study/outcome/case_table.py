"""The cases of a study with the share of right diagnoses in each arm."""

from __future__ import annotations

import polars as pl

from vitatt.reader_study.manifest import Manifest


def case_table(manifest: Manifest, readings: pl.DataFrame) -> pl.DataFrame:
    """One row for each case of the plan, in its order.

    Args:
        manifest: Of the study.
        readings: Those that count.

    Returns:
        ``case_id``, ``truth``, ``ai_predicted``, ``ai_probability`` (of that class),
        ``ai_correct``, ``difficulty``, ``skin_type``, and by arm ``right_ARM``, the share of right
        diagnoses (null without readings), and ``readings_ARM``.
    """
    cases = pl.DataFrame(
        [
            {
                "case_id": case.case_id,
                "truth": case.truth,
                "ai_predicted": case.ai.predicted,
                "ai_probability": case.ai.probabilities[case.ai.predicted],
                "ai_correct": case.stratum.ai_correct,
                "difficulty": case.stratum.difficulty,
                "skin_type": case.stratum.skin_type,
            }
            for case in manifest.cases
        ],
        schema_overrides={"skin_type": pl.String},
    )
    right = (pl.col("diagnosis") == pl.col("truth")).mean()
    for arm in manifest.arms:
        own = readings.filter(arm=arm.name).group_by("case_id")
        shares = own.agg(right.alias(f"right_{arm.name}"), pl.len().alias(f"readings_{arm.name}"))
        cases = cases.join(shares, on="case_id", how="left", maintain_order="left")
    return cases.with_columns(pl.col("^readings_.*$").fill_null(0))
