"""Sections on design and course of a study: design, readers, deviations, integrity."""

from __future__ import annotations

from collections import Counter

from vitatt.reader_study.manifest import Arm, Manifest
from vitatt.reader_study.outcome.evidence_sources import METHOD_TITLES
from vitatt.reader_study.outcome.flow import STEPS
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.cells import UNDEFINED, Cell, cell
from vitatt.reports.reader_study.names import capital, names_of
from vitatt.reports.section import Column, Section, Table, plain_table
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/course.txt.jinja"


def design_section(outcome: StudyOutcome) -> Section:
    """Design of the study as its plan has it."""
    manifest = outcome.record.manifest
    return Section(
        "Design",
        points=paragraphs(
            _TEMPLATE,
            block="design",
            manifest=manifest,
            names=names_of(manifest),
            positive=[one.title for one in manifest.classes if one.positive],
            asked=asked(manifest),
            strata=" ".join(f"By {name}: {text}." for name, text in strata(manifest).items()),
            secondary=[
                one for one in manifest.analysis.metrics if one != manifest.analysis.primary_metric
            ],
        ),
        tables=[_arms(manifest)],
    )


def flow_section(outcome: StudyOutcome) -> Section:
    """Flow of readers and readings."""
    names = names_of(outcome.record.manifest)
    heads = [*STEPS, "planned", "counted"]
    notes = {"planned": "readings", "counted": "readings"}
    rows = [
        [Cell(capital(names.band(row["experience"]))), *(cell(row[name]) for name in heads)]
        for row in outcome.flow.iter_rows(named=True)
    ]
    columns = [Column("experience", number=False)]
    columns += [Column(name, notes.get(name, "readers")) for name in heads]
    return Section(
        "Readers and readings",
        paragraphs(_TEMPLATE, block="flow"),
        outcome.notes,
        tables=[Table("Flow of readers and readings", columns, rows)],
    )


def deviations_section(outcome: StudyOutcome) -> Section:
    """Deviations from the plan."""
    found = outcome.deviations
    text = "deviations" if found else "no_deviations"
    return Section("Deviations from the plan", paragraphs(_TEMPLATE, block=text), found)


def integrity_section(outcome: StudyOutcome) -> Section:
    """Integrity of the record."""
    return Section(
        "Integrity of the record",
        paragraphs(_TEMPLATE, block="integrity"),
        tables=[plain_table("Checks", ("looked at", "found"), outcome.integrity)],
    )


def asked(manifest: Manifest) -> list[str]:
    """Questions about each case, in words."""
    ask = manifest.ask
    found = ["the diagnosis" if ask.top == 1 else "three diagnoses, the likeliest first"]
    found += ["confidence in it (0 to 100)"] if ask.confidence else []
    found += ["management"] if ask.management else []
    found += ["trust in the AI (1 to 5) where it was shown"] if ask.trust else []
    tools = {"box": "with a box", "brush": "with a brush", "both": "with a box or a brush"}
    found += [f"evidence drawn on the image {tools[ask.drawing]}"] if ask.drawing else []
    found += ["the answers of the patient that were evidence"] if ask.features else []
    return found


def strata(manifest: Manifest) -> dict[str, str]:
    """Numbers of cases by stratum, in words."""
    cases = manifest.cases
    found: dict[str, Counter[str]] = {
        "class": Counter(case.truth for case in cases),
        "difficulty": Counter(case.stratum.difficulty for case in cases),
    }
    if any(case.stratum.skin_type for case in cases):
        found["skin type"] = Counter(case.stratum.skin_type or "unknown" for case in cases)
    return {
        name: ", ".join(f"{key} ({count})" for key, count in sorted(counts.items()))
        for name, counts in found.items()
    }


def _arms(manifest: Manifest) -> Table:
    contrast = manifest.analysis.primary_contrast
    rows = [
        [
            Cell(arm.title, tag=_role(arm, contrast)),
            Cell("shown" if arm.shows_ai else UNDEFINED),
            Cell(METHOD_TITLES[arm.shows_map] if arm.shows_map else UNDEFINED),
            Cell("shown" if arm.shows_answers else UNDEFINED),
        ]
        for arm in manifest.arms
    ]
    heads = ("arm", "probabilities", "map", "evidence of the answers")
    return Table("Arms", [Column(head, number=False) for head in heads], rows)


def _role(arm: Arm, contrast: tuple[str, str]) -> str:
    if arm.name not in contrast:
        return ""
    return "reference" if arm.name == contrast[0] else "compared"
