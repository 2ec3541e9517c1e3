"""Methods of a study in Markdown: a paragraph with its numbers, and what checklists ask for."""

from __future__ import annotations

from vitatt.reader_study.outcome.sensitivity import FAST_SECONDS
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.reader_study.course import asked, strata
from vitatt.reports.reader_study.findings import not_shown, primary_sentence, warnings
from vitatt.reports.reader_study.names import is_simulated, names_of
from vitatt.reports.templates import environment


def study_methods(outcome: StudyOutcome) -> str:
    """Markdown with methods, primary result and checklist."""
    record, results = outcome.record, outcome.results
    manifest = record.manifest
    flow = outcome.flow.row(0, named=True)
    pauses = sum(event.kind == "paused" for event in record.events)
    return (
        environment()
        .get_template("reader_study/methods.md.jinja")
        .render(
            manifest=manifest,
            names=names_of(manifest),
            simulated=is_simulated(manifest),
            warnings=warnings(outcome),
            primary=primary_sentence(outcome),
            not_shown=not_shown(outcome),
            asked=asked(manifest),
            strata=strata(manifest),
            flow=flow,
            bands=outcome.flow[1:].to_dicts(),
            complete=int(results.readers["complete"].sum()),
            counted=record.readings.height,
            wrong=sum(not case.stratum.ai_correct for case in manifest.cases),
            secondary=[
                one for one in manifest.analysis.metrics if one != manifest.analysis.primary_metric
            ],
            interim=outcome.interim,
            deviations=outcome.deviations,
            notes=outcome.notes,
            first=record.events[0].time.date(),
            last=record.last_time.date(),
            digest=record.digest,
            head=record.head.digest,
            events=len(record.events),
            pauses=pauses,
            fast=FAST_SECONDS,
            regression=results.correctness is not None,
        )
        .strip()
        + "\n"
    )
