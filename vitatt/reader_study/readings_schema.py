"""Columns of a table of readings: one row for each reader, case and arm."""

from __future__ import annotations

import polars as pl

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "reader": pl.String,
    "experience": pl.String,
    "arm": pl.String,
    "period": pl.Int64,
    "position": pl.Int64,
    "case_id": pl.String,
    "group": pl.String,
    "truth": pl.String,
    "ai_predicted": pl.String,
    "ai_probability": pl.Float64,
    "ai_correct": pl.Boolean,
    "diagnosis": pl.String,
    "second": pl.String,
    "third": pl.String,
    "confidence": pl.Float64,
    "score": pl.Float64,
    "management": pl.String,
    "trust": pl.Int64,
    "seconds": pl.Float64,
    "submitted": pl.Datetime("us", "UTC"),
    "evidence_mask": pl.String,
    "evidence_features": pl.String,
    "drawn_shape": pl.String,
}

READINGS = pl.Schema(_COLUMNS)
"""Types of the columns, in their order.

``reader`` is a code and ``experience`` the reader's band. ``period`` and ``position``, the place
within the period, count from 1. ``group`` is the patient or lesion of the case, ``truth`` its
diagnosis. ``ai_probability`` is that of ``ai_predicted``. ``second`` and ``third`` are null unless
three diagnoses were asked. ``confidence`` in ``diagnosis`` is 0 to 100; ``score`` is the confidence
that the case is of a positive class, 0 to 100. ``trust`` in the AI is 1 to 5, null where it was not
shown. ``seconds`` is the time the page was visible, without pauses; ``submitted`` is in UTC.
``evidence_mask`` is the drawn evidence (`vitatt.reader_study.evidence_mask`), null if none;
``evidence_features`` the ticked features, joined by ``;``; ``drawn_shape`` is box, brush or null.
"""

NULLABLE = (
    "second",
    "third",
    "confidence",
    "score",
    "management",
    "trust",
    "evidence_mask",
    "drawn_shape",
)
"""Columns that may be null, since a study need not ask for them."""


def score_of(confidence: float, diagnosis: str, positive: frozenset[str]) -> float:
    """Confidence that a case is of a positive class, 0 to 100, for areas under ROC curves.

    Args:
        confidence: In the diagnosis, 0 to 100.
        diagnosis: The reader's.
        positive: Names of the positive classes.
    """
    return confidence if diagnosis in positive else 100 - confidence
