"""Hypotheses in their order: the primary one, those specified with it, and exploratory ones."""

from __future__ import annotations

import polars as pl

from vitatt.evaluation.comparison import holm
from vitatt.reader_study.analysis.means import ALL_READERS

PRIMARY, SECONDARY, EXPLORATORY = "primary", "secondary", "exploratory"
"""Status of a hypothesis: one is tested first, those specified with it are corrected by Holm's
method, and the p-values of all others are not corrected."""


def status_of_gains(gains: pl.DataFrame, metric: str, contrast: tuple[str, str]) -> pl.DataFrame:
    """The gains with the ``status`` of each row.

    Over all readers, the contrast is the primary hypothesis in the primary metric, and a secondary
    one in the other metrics.

    Args:
        gains: As `gain_table` has them. If the contrast names the later arm first, the sign of its
            rows is turned.
        metric: The primary one.
        contrast: The reference arm, and the arm compared with it.
    """
    specified = _of_contrast(contrast) & (pl.col("experience") == ALL_READERS)
    status = (
        pl.when(~specified)
        .then(pl.lit(EXPLORATORY))
        .when(pl.col("metric") == metric)
        .then(pl.lit(PRIMARY))
        .otherwise(pl.lit(SECONDARY))
    )
    return _oriented(gains, contrast).with_columns(status=status)


def status_of_interactions(
    interactions: pl.DataFrame, metric: str, contrast: tuple[str, str]
) -> pl.DataFrame:
    """The interactions with the ``status`` of each row.

    That of the contrast, in the primary metric, is a secondary hypothesis.

    Args:
        interactions: As `interaction_table` has them.
        metric: The primary one.
        contrast: As for `status_of_gains`.
    """
    specified = _of_contrast(contrast) & (pl.col("metric") == metric)
    status = pl.when(specified).then(pl.lit(SECONDARY)).otherwise(pl.lit(EXPLORATORY))
    return _oriented(interactions, contrast).with_columns(status=status)


def primary_row(gains: pl.DataFrame, by_arm: pl.DataFrame) -> pl.DataFrame:
    """The primary hypothesis with the means of both arms, see `StudyResults`.

    Args:
        gains: With their status.
        by_arm: As `metric_table` has it.
    """
    means = by_arm.filter(experience=ALL_READERS).select("metric", "arm", mean="value")
    reference = means.rename({"arm": "reference", "mean": "reference_mean"})
    row = gains.filter(status=PRIMARY).drop("status", "experience")
    return row.join(means, on=["metric", "arm"]).join(reference, on=["metric", "reference"])


def secondary_rows(gains: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """The secondary hypotheses, with p-values after Holm's correction, see `StudyResults`.

    Args:
        gains: With their status.
        interactions: With their status.
    """
    kinds = {"difference between arms": gains, "larger gain of the least experienced": interactions}
    found = pl.concat(
        table.filter(status=SECONDARY)
        .drop("status")
        .select(pl.lit(kind).alias("hypothesis"), pl.all())
        for kind, table in kinds.items()
    )
    p = found["p"].fill_null(float("nan")).to_numpy()
    return found.with_columns(pl.Series("p_holm", holm(p)).fill_nan(None))


def _of_contrast(contrast: tuple[str, str]) -> pl.Expr:
    return (pl.col("reference") == contrast[0]) & (pl.col("arm") == contrast[1])


def _oriented(found: pl.DataFrame, contrast: tuple[str, str]) -> pl.DataFrame:
    turned = _of_contrast((contrast[1], contrast[0]))
    opposite = {
        "arm": pl.col("reference"),
        "reference": pl.col("arm"),
        "value": -pl.col("value"),
        "low": -pl.col("high"),
        "high": -pl.col("low"),
    }
    return found.with_columns(
        pl.when(turned).then(other).otherwise(pl.col(name)).alias(name)
        for name, other in opposite.items()
    )
