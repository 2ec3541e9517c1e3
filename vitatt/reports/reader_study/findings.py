"""The result of the primary hypothesis in words."""

from __future__ import annotations

from vitatt.reader_study.manifest import Arm
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.cells import number, p_words
from vitatt.reports.reader_study.names import capital, is_simulated, names_of
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/findings.txt.jinja"


def warnings(outcome: StudyOutcome) -> list[str]:
    """Sentences that must stand before any result."""
    record = outcome.record
    return paragraphs(
        _TEMPLATE,
        block="warnings",
        simulated=is_simulated(record.manifest),
        interim=outcome.interim,
        counted=record.readings.height,
        planned=record.manifest.stopping.readings,
    )


def primary_sentence(outcome: StudyOutcome) -> str:
    """The primary result: estimate, interval and p."""
    row = outcome.results.primary.row(0, named=True)
    block = "undefined" if row["low"] is None else "primary"
    return paragraphs(_TEMPLATE, block=block, **_values(outcome))[0]


def not_shown(outcome: StudyOutcome) -> list[str]:
    """What the primary result does not show, a sentence each."""
    row = outcome.results.primary.row(0, named=True)
    manifest = outcome.record.manifest
    arms = manifest.arm_by_name
    if row["low"] is None:
        return []
    wrong = sum(not case.stratum.ai_correct for case in manifest.cases)
    return paragraphs(
        _TEMPLATE,
        block="not_shown",
        **_values(outcome),
        nearest=_signed(min(row["low"], row["high"], key=abs)),
        wrong=wrong,
        causes=_causes(arms[row["reference"]], arms[row["arm"]]),
        design=manifest.design,
    )


def _values(outcome: StudyOutcome) -> dict[str, object]:
    row = outcome.results.primary.row(0, named=True)
    names, manifest = names_of(outcome.record.manifest), outcome.record.manifest
    complete = outcome.results.readers["complete"].sum()
    return {
        "metric": capital(row["metric"]),
        "arm": names.arms[row["arm"]],
        "reference": names.arms[row["reference"]],
        "mean": number(row["mean"]).text,
        "reference_mean": number(row["reference_mean"]).text,
        **{name: _signed(row[name]) for name in ("value", "low", "high")},
        "p": p_words(row["p"]),
        "percent": names.percent,
        "alpha": names.alpha,
        "significant": row["p"] is not None and row["p"] < 1 - manifest.analysis.level,
        "readers": int(complete),
        "cases": len(manifest.cases),
    }


def _signed(value: float | None) -> str:
    text = number(value).text
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") else text


def _causes(reference: Arm, arm: Arm) -> list[str]:
    """What one arm shows and the other does not."""
    found = []
    if reference.shows_ai != arm.shows_ai:
        found.append("the AI's probabilities")
    if reference.shows_map != arm.shows_map:
        found.append("the map")
    if reference.shows_answers != arm.shows_answers:
        found.append("the evidence of the patient's answers")
    return found
