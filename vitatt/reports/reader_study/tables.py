"""Tables of a study's report, as they are written as CSV files."""

from __future__ import annotations

import dataclasses

import polars as pl

from vitatt.reader_study.outcome.study_outcome import StudyOutcome


def study_tables(outcome: StudyOutcome) -> dict[str, pl.DataFrame]:
    """Tables by the name of their file, in the order of the report; none that is empty."""
    results = {
        field.name: getattr(outcome.results, field.name)
        for field in dataclasses.fields(outcome.results)
    }
    if outcome.record.manifest.arm_by_name[outcome.arrays.arms[0]].shows_ai:
        results = {name: one for name, one in results.items() if "reliance" not in name}
    tables = {name: one for name, one in results.items() if isinstance(one, pl.DataFrame)}
    if (model := outcome.results.correctness) is not None:
        tables |= {
            "odds": model.odds,
            "odds_ratios": model.ratios,
            "regression_tests": model.tests,
            "random_intercepts": model.deviations,
        }
    tables |= {"sensitivity": outcome.sensitivity, "flow": outcome.flow, "cases": outcome.cases}
    if outcome.periods is not None:
        tables |= {"periods": outcome.periods.adjusted, "period_tests": outcome.periods.tests}
    tables["integrity"] = pl.DataFrame(outcome.integrity, schema=["check", "found"], orient="row")
    return {name: one for name, one in tables.items() if one.height}
