"""Exploratory section on the readers' evidence: agreement with maps and relevance of answers."""

from __future__ import annotations

import polars as pl

from vitatt.reader_study.analysis.agreement import BASELINES
from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.reader_study.names import capital, names_of
from vitatt.reports.reader_study.result_tables import by_arm, differences, forest
from vitatt.reports.section import Section
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/evidence.txt.jinja"


def evidence_sections(outcome: StudyOutcome) -> list[Section]:
    """Agreement of drawn and ticked evidence; none if neither was asked."""
    return [*_drawn(outcome), *_ticked(outcome)]


def _drawn(outcome: StudyOutcome) -> list[Section]:
    manifest, results = outcome.record.manifest, outcome.results
    names, found, gaps = names_of(manifest), results.map_agreement, results.map_differences
    if found is None or gaps is None or found.is_empty():
        return []
    unseen = [arm.name for arm in manifest.arms if arm.shows_map is None]
    shown = [arm.title for arm in manifest.arms if arm.shows_map is not None]
    everybody = found.filter(experience=ALL_READERS)
    # Of a band, only arms in which readers saw no map say whether they agree on their own.
    bands = found.filter(pl.col("experience") != ALL_READERS, pl.col("arm").is_in(unseen[:1]))
    plots = [
        forest(
            everybody.filter(measure=measure),
            "method",
            "arm",
            names,
            xlabel=measure,
            ylabel="map",
            caption=f"{capital(measure)} of drawings and each map; the last two are baselines.",
        )
        for measure in ("IoU", "pointing")
    ]
    if bands.height:
        plots.append(
            forest(
                bands.filter(measure="IoU"),
                "method",
                "experience",
                names,
                xlabel="IoU",
                ylabel="map",
                caption=f"IoU by experience in the arm “{names.arms[unseen[0]]}”.",
            )
        )
    against = gaps.filter(experience=ALL_READERS).with_columns(
        pl.concat_str("method", pl.lit(", "), pl.col("arm").replace(names.arms)).alias("arm")
    )
    return [
        Section(
            "Exploratory: drawn evidence and maps",
            paragraphs(
                _TEMPLATE,
                block="drawn",
                shown=shown,
                readings=everybody.filter(measure="IoU", method=BASELINES[0])["readings"].sum(),
            ),
            tables=[
                by_arm("Agreement, all readers", everybody, ["measure", "method"], names),
                differences("Maps against the centre", against, ["measure"], names, folded=True),
                by_arm(
                    "Agreement by experience",
                    found.filter(pl.col("experience") != ALL_READERS),
                    ["measure", "method", "experience"],
                    names,
                    folded=True,
                ),
            ],
            plots=plots,
        )
    ]


def _ticked(outcome: StudyOutcome) -> list[Section]:
    names, found = names_of(outcome.record.manifest), outcome.results.ticked_agreement
    if found is None or found.is_empty():
        return []
    return [
        Section(
            "Exploratory: ticked answers and their relevance",
            paragraphs(_TEMPLATE, block="ticked"),
            tables=[by_arm("Agreement of ticks", found, ["measure", "experience"], names)],
            plots=[
                forest(
                    found.filter(measure="AUROC"),
                    "experience",
                    "arm",
                    names,
                    xlabel="AUROC of ticks by relevance",
                    ylabel="experience",
                    line=0.5,
                    line_label="chance",
                )
            ],
        )
    ]
