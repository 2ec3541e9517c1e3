"""Exploratory sections on how readers used the AI: reliance, confidence, time, trust."""

from __future__ import annotations

import polars as pl

from vitatt.evaluation.calibration import confidence_curve
from vitatt.plotting.reliability import reliability_figure
from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.analysis.reliance import RELATIVE_AI_RELIANCE, RELATIVE_SELF_RELIANCE
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.reader_study.names import Names, names_of
from vitatt.reports.reader_study.result_tables import by_arm, differences, forest
from vitatt.reports.section import Plot, Section
from vitatt.reports.templates import paragraphs
from vitatt.types import CALIBRATION_BINS

_TEMPLATE = "reader_study/behaviour.txt.jinja"
SWITCHES = (
    "wrong to right, AI right",
    "right to wrong, AI right",
    "wrong to right, AI wrong",
    "right to wrong, AI wrong",
)
"""The four kinds of switches from the arm without AI to an arm with it."""


def reliance_section(outcome: StudyOutcome) -> Section:
    """Appropriate reliance: switches from the arm without AI to arms with it."""
    title = "Exploratory: reliance on the AI"
    manifest = outcome.record.manifest
    names, found = names_of(manifest), outcome.results.reliance
    first = manifest.arm_by_name[outcome.arrays.arms[0]]
    if first.shows_ai:
        return Section(title, paragraphs(_TEMPLATE, block="no_reliance"))
    everybody = found.filter(experience=ALL_READERS)
    four = everybody.filter(pl.col("measure").is_in(SWITCHES))
    relative = found.filter(pl.col("measure").is_in([RELATIVE_AI_RELIANCE, RELATIVE_SELF_RELIANCE]))
    keys = ["measure", "experience"]
    tables = [by_arm("All readers", everybody, ["measure"], names)]
    if outcome.results.reliance_differences.height:
        tables.append(
            differences(
                "Differences between arms with AI",
                outcome.results.reliance_differences,
                ["measure"],
                names,
            )
        )
    tables.append(by_arm("By experience", found, keys, names, folded=True))
    plots = [
        forest(
            four,
            "measure",
            "arm",
            names,
            xlabel="share of readings",
            ylabel="change of diagnosis",
            caption="The four kinds of switches, as shares of the readings on which the AI is "
            "right, or wrong. Appropriate: wrong to right where the AI is right, and no switch "
            "from right to wrong where it is wrong.",
        ),
        *_relative_plots(relative, names),
    ]
    return Section(
        title,
        paragraphs(_TEMPLATE, block="reliance", design=manifest.design, first=first.title),
        tables=tables,
        plots=plots,
    )


def confidence_section(outcome: StudyOutcome) -> list[Section]:
    """Calibration of confidence; none if it was not asked."""
    names, found = names_of(outcome.record.manifest), outcome.results.calibration
    if found.is_empty():
        return []
    readings = outcome.record.readings
    curves = {}
    for arm, title in names.arms.items():
        own = readings.filter(pl.col("arm") == arm, pl.col("confidence").is_not_null())
        if own.height:
            right = (own["diagnosis"] == own["truth"]).cast(pl.Float64).to_numpy()
            curves[title] = confidence_curve(own["confidence"].to_numpy() / 100, right)
    everybody = found.filter(experience=ALL_READERS)
    of_pairs = outcome.results.calibration_differences.filter(experience=ALL_READERS)
    return [
        Section(
            "Exploratory: calibration of confidence",
            paragraphs(_TEMPLATE, block="confidence", bins=CALIBRATION_BINS),
            tables=[
                by_arm("Confidence of all readers", everybody, ["measure"], names),
                differences("Differences of confidence", of_pairs, ["measure"], names),
                by_arm(
                    "Confidence by experience", found, ["measure", "experience"], names, folded=True
                ),
            ],
            plots=[
                Plot(
                    reliability_figure(
                        curves,
                        xlabel="stated confidence",
                        ylabel="share diagnosed right",
                        counted="readings",
                    ),
                    "Reliability diagram: share of right diagnoses over stated confidence in each "
                    f"arm; below it the number of readings in each of {CALIBRATION_BINS} bins.",
                    "Points below the diagonal: readers are more confident than right. Points of "
                    "few readings vary by chance.",
                )
            ],
        )
    ]


def time_section(outcome: StudyOutcome) -> Section:
    """Time of readings, and trust in the AI if it was asked."""
    names, results = names_of(outcome.record.manifest), outcome.results
    ratios = results.time_ratios.filter(experience=ALL_READERS)
    tables = [
        by_arm("Seconds of a reading", results.times, ["experience"], names, digits=1),
        differences(
            "Ratios of times, all readers", ratios, [], names, value="ratio", sign=":", digits=2
        ),
    ]
    plots = [
        forest(
            results.times,
            "experience",
            "arm",
            names,
            xlabel="seconds of a reading, geometric mean",
            ylabel="experience",
        )
    ]
    if results.trust.height:
        everybody = results.trust.filter(experience=ALL_READERS)
        tables += [
            by_arm("Trust of all readers, 1 to 5", everybody, ["ai"], names, digits=2),
            differences(
                "Differences of trust",
                results.trust_differences,
                ["experience"],
                names,
                digits=2,
                folded=True,
            ),
            by_arm(
                "Trust by experience",
                results.trust,
                ["ai", "experience"],
                names,
                digits=2,
                folded=True,
            ),
        ]
        plots.append(
            forest(
                everybody.with_columns(ai=pl.lit("AI: ") + pl.col("ai")),
                "ai",
                "arm",
                names,
                xlabel="trust in the AI, 1 to 5",
                ylabel="cases",
            )
        )
    trust = bool(results.trust.height)
    design = outcome.record.manifest.design
    return Section(
        "Exploratory: time and trust",
        paragraphs(_TEMPLATE, block="time", design=design, trust=trust),
        tables=tables,
        plots=plots,
    )


def _relative_plots(relative: pl.DataFrame, names: Names) -> list[Plot]:
    return [
        forest(
            relative.filter(measure=measure),
            "experience",
            "arm",
            names,
            xlabel=measure,
            ylabel="experience",
            caption=caption,
        )
        for measure, caption in (
            (
                RELATIVE_AI_RELIANCE,
                "Share that become right, of those wrong without AI on which the AI is right.",
            ),
            (
                RELATIVE_SELF_RELIANCE,
                "Share that stay right, of those right without AI on which the AI is wrong.",
            ),
        )
        if relative.filter(measure=measure).height
    ]
