"""The page of a reader study."""

from __future__ import annotations

from pathlib import Path

from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.page import write_page
from vitatt.reports.reader_study.behaviour import (
    confidence_section,
    reliance_section,
    time_section,
)
from vitatt.reports.reader_study.case_gallery import case_gallery
from vitatt.reports.reader_study.course import (
    design_section,
    deviations_section,
    flow_section,
    integrity_section,
)
from vitatt.reports.reader_study.evidence import evidence_sections
from vitatt.reports.reader_study.metrics import (
    metrics_section,
    result_section,
    specified_section,
)
from vitatt.reports.reader_study.readers import (
    gains_section,
    readers_section,
    regression_section,
)
from vitatt.reports.reader_study.robustness_of_result import (
    limits_section,
    precision_section,
    sensitivity_section,
)
from vitatt.reports.section import Section


def write_study_page(path: Path, outcome: StudyOutcome) -> None:
    """Write the page; an earlier one stays until the new one is complete.

    Args:
        path: The HTML file.
        outcome: Of the study.
    """
    manifest, record = outcome.record.manifest, outcome.record
    write_page(
        path,
        title=f"Reader study: {manifest.name}",
        subtitle="Readers with and without AI, with intervals for other readers and other cases. "
        "Research only: not a medical device.",
        facts={
            "status": "interim" if outcome.interim else "complete",
            "readings": f"{record.readings.height:,} of {manifest.stopping.readings:,}",
            "readers": f"{record.readings['reader'].n_unique()} of {len(manifest.readers)}",
            "cases": f"{len(manifest.cases)}",
            "arms": f"{len(manifest.arms)}",
            "design": manifest.design,
            "dataset": manifest.source.dataset,
            "last event": f"{record.last_time:%Y-%m-%d}",
        },
        sections=study_sections(outcome),
        gallery=case_gallery(outcome),
        columns=False,
    )


def study_sections(outcome: StudyOutcome) -> list[Section]:
    """All sections in the order of the page: specified first, exploratory after them."""
    return [
        result_section(outcome),
        design_section(outcome),
        flow_section(outcome),
        specified_section(outcome),
        metrics_section(outcome),
        readers_section(outcome),
        sensitivity_section(outcome),
        gains_section(outcome),
        *regression_section(outcome),
        reliance_section(outcome),
        *confidence_section(outcome),
        time_section(outcome),
        *evidence_sections(outcome),
        precision_section(outcome),
        deviations_section(outcome),
        integrity_section(outcome),
        limits_section(outcome),
    ]
