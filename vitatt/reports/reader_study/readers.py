"""Sections on readers: each reader, gains by experience, and the regression of right diagnoses."""

from __future__ import annotations

import numpy as np
import polars as pl

from vitatt.plotting.reader_lines import reader_lines_figure
from vitatt.reader_study.analysis.hypotheses import EXPLORATORY
from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.analysis.mixed_logistic import CorrectnessModel
from vitatt.reader_study.analysis.scores import jackknife_scores
from vitatt.reader_study.outcome.study_outcome import StudyOutcome
from vitatt.reports.cells import Cell, number, p_value
from vitatt.reports.reader_study.names import capital, names_of
from vitatt.reports.reader_study.result_tables import by_arm, degrees, differences, forest
from vitatt.reports.section import Column, Plot, Section, Table, plain_table
from vitatt.reports.templates import paragraphs

_TEMPLATE = "reader_study/metrics.txt.jinja"


def readers_section(outcome: StudyOutcome) -> Section:
    """The primary metric of each reader in each arm."""
    manifest = outcome.record.manifest
    names, metric = names_of(manifest), manifest.analysis.primary_metric
    arrays = outcome.arrays
    arrays = arrays.of_readers(np.asarray(arrays.present.all((0, 2))))
    values = jackknife_scores(arrays, metric).values.T
    groups = {
        names.bands[band]: values[arrays.band == place]
        for place, band in enumerate(arrays.bands)
        if (arrays.band == place).any()
    }
    rows = [
        [Cell(reader), Cell(names.bands[arrays.bands[band]]), *map(number, own)]
        for reader, band, own in zip(arrays.readers, arrays.band, values, strict=True)
    ]
    columns = [Column("reader", number=False), Column("experience", number=False)]
    columns += [Column(names.arms[arm]) for arm in arrays.arms]
    arms = [names.arms[arm] for arm in arrays.arms]
    return Section(
        "Each reader",
        paragraphs(_TEMPLATE, block="readers", metric=metric),
        tables=[Table(f"{capital(metric)} of each reader", columns, rows, folded=True)],
        plots=[
            Plot(
                reader_lines_figure(arms, groups, ylabel=metric),
                f"Lines of the {metric} of each of {len(rows)} readers over the arms "
                f"{', '.join(arms)}, in a panel for each band of experience. The numbers are in "
                "the table of this section.",
                "A thin line for each reader, a thick one for the mean of the band.",
            )
        ],
        plots_first=True,
    )


def gains_section(outcome: StudyOutcome) -> Section:
    """All differences between arms, and whether they depend on experience."""
    names, results = names_of(outcome.record.manifest), outcome.results
    plan = outcome.record.manifest.analysis
    reference, arm = plan.primary_contrast
    gains = results.gains.with_columns(_marked())
    of_metric = results.gains.filter(metric=plan.primary_metric)
    pairs = of_metric.with_columns(
        pairs=pl.concat_str(
            pl.col("arm").replace(names.arms),
            pl.lit(" − "),
            pl.col("reference").replace(names.arms),
        )
    )
    everybody = gains.filter(experience=ALL_READERS)
    tables = [differences("Differences between arms, all readers", everybody, ["metric"], names)]
    if results.interactions.height:
        tables.append(
            differences(
                "Gain of the least experienced minus that of the others",
                results.interactions.with_columns(_marked()),
                ["metric"],
                names,
            )
        )
        by_band = gains.filter(pl.col("experience") != ALL_READERS)
        tables.append(
            differences(
                "Differences by experience", by_band, ["metric", "experience"], names, folded=True
            )
        )
    plot = forest(
        pairs,
        "experience",
        "pairs",
        names,
        xlabel=f"difference of {plan.primary_metric}",
        ylabel="experience",
        line=0,
        line_label="no difference",
        caption=f"Gains in {plan.primary_metric} by experience.",
    )
    return Section(
        "Exploratory: gains by experience",
        paragraphs(_TEMPLATE, block="gains", arm=names.arms[arm], reference=names.arms[reference]),
        tables=tables,
        plots=[plot],
    )


def regression_section(outcome: StudyOutcome) -> list[Section]:
    """The mixed logistic regression; none if it could not be fitted, which a note says."""
    model = outcome.results.correctness
    if model is None:
        return []
    names = names_of(outcome.record.manifest)
    everybody = model.ratios.filter(experience=ALL_READERS)
    return [
        Section(
            "Exploratory: right diagnoses by a mixed model",
            paragraphs(_TEMPLATE, block="regression", readings=model.readings),
            tables=[
                differences(
                    "Odds ratios, all readers", everybody, [], names, value="odds ratio", sign=":"
                ),
                _tests(model),
                by_arm("Odds of a right diagnosis", model.odds, ["experience"], names, folded=True),
                differences(
                    "Odds ratios by experience",
                    model.ratios.filter(pl.col("experience") != ALL_READERS),
                    ["experience"],
                    names,
                    value="odds ratio",
                    sign=":",
                    folded=True,
                ),
                plain_table(
                    "Random intercepts",
                    ("of", "standard deviation, log odds"),
                    model.deviations.rows(),
                    folded=True,
                ),
            ],
        )
    ]


def _marked() -> pl.Expr:
    """The metric, and whether the hypothesis was specified beforehand."""
    specified = pl.concat_str("metric", pl.lit(" ("), "status", pl.lit(")"))
    known = pl.when(pl.col("status") != EXPLORATORY).then(specified)
    return known.otherwise("metric").alias("metric")


def _tests(model: CorrectnessModel) -> Table:
    rows = [
        [
            Cell(capital(row["hypothesis"])),
            number(row["f"], 2),
            Cell(f"{row['df1']:.0f}; {degrees(row['df2'])}"),
            p_value(row["p"]),
        ]
        for row in model.tests.iter_rows(named=True)
    ]
    heads = [Column("hypothesis", number=False), Column("F")]
    heads += [Column("degrees of freedom", number=False), Column("p")]
    return Table("Tests", heads, rows)
