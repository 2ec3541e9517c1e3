"""A model card in Markdown: the headings of Mitchell et al., filled from facts alone.

Source: Mitchell et al. 2019, "Model cards for model reporting", FAT* 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from vitatt.reports.benchmark.comparisons import pairs_tables, subgroup_tables
from vitatt.reports.benchmark.facts import Facts
from vitatt.reports.benchmark.tables import (
    arms_table,
    calibration_metrics,
    class_tables,
    main_metrics,
)
from vitatt.reports.benchmark.words import encoder, limits, metric_meanings, protocol_points
from vitatt.reports.page import Table

_BEGINNING = "# Model card: "


def is_card(path: Path) -> bool:
    """Whether a file is a model card, so that it may be written anew."""
    try:
        with path.open("rb") as file:
            text = file.read()
    except OSError:
        return False
    return text.startswith(_BEGINNING.encode()) and b"Software: vitatt" in text


def model_card(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> str:
    """The card of the reference arm, or of the model of a test run.

    Args:
        facts: The protocol.
        tables: As for the report.
    """
    arms = tables["arms"]
    of_model = arms.filter(pl.col("arm") == facts.reference)
    metrics = [*main_metrics(arms), *calibration_metrics(arms)]
    complete = of_model.filter(pl.col("cases") == "complete")["n"]
    model = facts.arms[facts.reference]
    parts = [
        f"{_BEGINNING}{model['title']} on {facts.title}",
        "## Model details",
        _points(
            [
                f"Model: {model['title']} (`{facts.reference}`), a classifier of skin lesions.",
                *([f"Source of the method: {model['source']}."] if model["source"] else []),
                *filter(None, [encoder(facts)]),
                "Output: a probability of each of "
                + ", ".join(f"{n} ({facts.class_titles.get(n, n)})" for n in facts.classes)
                + ".",
                *_what_is_described(facts),
                "Software: vitatt, MIT licence. The dataset and the encoder's weights have their "
                "own licences.",
            ]
        ),
        "## Intended use",
        _points(
            [
                "Research on how image and metadata are combined, and on how to measure it.",
                "**Not a medical device.** Not for diagnosis, triage or any decision about a "
                "patient.",
                "Out of scope: lesions of other diagnoses than the classes above. The model gives "
                "each image one of them, whatever it shows.",
            ]
        ),
        "## Factors",
        _factors(facts, tables["subgroups"]),
        "## Metrics",
        _points(metric_meanings(metrics, facts)),
        f"Intervals are 95 %, resampling {facts.group}s.",
        "## Evaluation data",
        _points(protocol_points(facts, complete[0] if len(complete) else None)),
        *_checks(facts),
        "## Training data",
        _training(facts),
        "## Quantitative analyses",
        "### Unitary results",
        *(
            _table(table)
            for table in (
                arms_table(of_model, facts, main_metrics(arms), "Main metrics"),
                arms_table(of_model, facts, calibration_metrics(arms), "Probabilities"),
                *class_tables(of_model, facts),
            )
        ),
        *_subgroups(facts, tables),
    ]
    if facts.compared:
        parts += ["### Compared with other arms"]
        parts += [_table(table) for table in pairs_tables(tables["pairs"], facts)]
    parts += [
        "### Intersectional results",
        "Not measured: subgroups of subgroups have too few cases here."
        if tables["subgroups"].height
        else "Not measured.",
        "## Ethical considerations",
        _points(
            [
                "The images and metadata are of patients; the terms of the dataset hold.",
                "Metadata such as skin type, gender or origin can carry the habits of one clinic "
                "into a prediction. The metrics by subgroup show what was measured of it.",
                "A missed melanoma costs more than a false alarm; the metrics count both alike "
                "unless they say otherwise.",
            ]
        ),
        "## Caveats and recommendations",
        _points(limits(facts, arms, tables["subgroups"])),
        "## How to reproduce",
        f"```\n{facts.command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what_is_described(facts: Facts) -> list[str]:
    if facts.one_model:
        return [f"One trained model, tested on outer fold {facts.fold} of {facts.num_folds}."]
    return [
        f"The metrics are of {facts.num_folds} × {len(facts.seeds)} trained models (outer folds × "
        "seeds), probabilities averaged over seeds; no single file of weights is described."
    ]


def _factors(facts: Facts, subgroups: pl.DataFrame) -> str:
    if not subgroups.height:
        return "No subgroups were measured."
    names = subgroups["attribute"].unique(maintain_order=True)
    attributes = ", ".join(facts.feature_labels.get(name, name) for name in names)
    return _points(
        [
            f"Measured by: {attributes}.",
            "Not known, and so not measured: camera, lighting, clinic.",
        ]
    )


def _checks(facts: Facts) -> list[str]:
    lines = [
        f"{'ok' if one['ok'] else '**note**'}: {one['check']}: {one['outcome']}"
        for one in facts.checks
    ]
    return ["Leaks looked for:", _points(lines)] if lines else []


def _training(facts: Facts) -> str:
    return (
        f"The same dataset: for each outer fold the cases of the other {facts.num_folds - 1}, less "
        f"one of {facts.inner_folds} parts of their {facts.group}s, which decides when training "
        "stops. Categories, quantiles and class weights are fitted on training rows only."
    )


def _subgroups(facts: Facts, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    if not tables["subgroups"].height:
        return []
    return [
        "### Results by subgroup",
        *(_table(one) for one in subgroup_tables(tables["subgroups"], tables["gaps"], facts)),
    ]


def _points(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(table: Table) -> str:
    """A table in the Markdown of GitHub, its caption above it."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"

    heads = [f"{c.title} ({c.note})" if c.note else c.title for c in table.columns]
    rule = ["---:" if column.number else "---" for column in table.columns]
    rows = [
        [" ".join(filter(None, (one.text, one.note, one.tag and f"({one.tag})"))) for one in row]
        for row in table.rows
    ]
    return "\n".join([f"**{table.title}**", "", line(heads), line(rule), *map(line, rows)])
