"""Report on a dataset: its contents, and the problems that a training on it would have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vitatt.data.cases import UsableCases
from vitatt.data.checks.leaks import (
    Finding,
    label_copies,
    missing_pattern,
    one_image,
    shared_images,
)
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets.table import LesionTable
from vitatt.data.datasets.value_checks import category_counts, odd_values, questions
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.near_duplicates import THRESHOLD
from vitatt.data.splits import split_rows
from vitatt.data.twins import case_pairs, with_content
from vitatt.data.views import with_readable
from vitatt.types import DataError

_SHOWN = 20


class Report(NamedTuple):
    """A report on a dataset.

    Attributes:
        text: The whole report as text.
        problems: Problems that a training would have, one sentence each.
    """

    text: str
    problems: list[str]


def check(datamodule: LesionDataModule) -> Report:
    """Check every row and every image of a labelled dataset, and return a report.

    Raises:
        DataError: If the dataset cannot be read at all.
    """
    usable = datamodule.labelled
    table, cache, spec = usable.table, usable.cache, datamodule.spec
    twins, disagreeing = _twins(table, cache)
    near, near_disagreeing = _near_twins(usable)
    problems = [f"{table.group_problem}."] if table.group_problem else []
    if cache.unreadable:
        problems.append(f"Image files that cannot be read: {len(cache.unreadable)}.")
    if disagreeing:
        problems.append(
            f"Images that stand under two names with different diagnoses: {disagreeing}. One of "
            "each is wrong."
        )
    if near_disagreeing:
        problems.append(
            "Pairs of images that are nearly the same, with different diagnoses: "
            f"{near_disagreeing}. One of each is probably wrong."
        )
    for fold in range(datamodule.fold_spec.num_folds):
        try:
            split_rows(usable.frame, spec, replace(datamodule.fold_spec, fold=fold))
        except DataError as error:
            problems.append(str(error))
    leaks: list[Finding] = []
    try:
        # On all rows instead of one fold's training rows, since the data may not allow any split.
        copies = label_copies(usable.frame, spec.features)
        leaks += [*copies, missing_pattern(usable.frame, spec.features), *shared_images(usable)]
        problems += [f"{one.outcome[0].upper()}{one.outcome[1:]}." for one in copies if not one.ok]
    except DataError as error:
        problems.append(str(error))
    # The notes repeat odd values for commands without this report, which lists them as questions.
    odd = odd_values(table.cases, spec)
    notes = [note for note in table.notes if note not in odd]
    asked = questions(table.cases, spec)
    sections = {
        f"{spec.title} in {table.root}: {table.cases.height} rows, "
        f"{table.cases['group'].n_unique()} {spec.group}s"
        + (f", each image without {spec.group_column} counted as one" * bool(table.ungrouped)): "",
        f"Cases and {spec.group}s per class": _per_class(table, usable.frame),
        "Missing values per feature and class, in % of its rows": _missing(table),
        "Categories per feature, with their rows": _categories(table),
        "Numbers per feature": _numbers(table),
        f"Worth a look: {len(asked)}": "\n".join(f"  {question}" for question in asked),
        f"Images without {spec.group_column}: {table.ungrouped}": "",
        **_views(table),
        f"{'Cases without an image' if spec.views else 'Images absent'}: "
        f"{len(table.absent)}": _some(table.absent),
        f"Images unreadable: {len(cache.unreadable)}": _some(list(cache.unreadable.values())),
        f"Images identical under several names: {len(twins)}": _some(twins),
        f"Images nearly the same under several names: {len(near)}": _near_text(usable, near),
        "Leaks looked for": "\n".join(f"  {one.check}: {one.outcome}" for one in leaks),
        "Barred as features": "\n".join(
            f"  {name}: {reason}" for name, reason in spec.barred.items()
        ),
        "Notes": "\n".join(f"  {note}" for note in notes),
        f"Problems: {len(problems)}": "\n".join(f"  {problem}" for problem in problems),
    }
    paragraphs = [f"{title}\n{body}".rstrip() for title, body in sections.items()]
    return Report("\n\n".join(p for p in paragraphs if p != "Notes"), problems)


def _views(table: LesionTable) -> dict[str, str]:
    """Return a section on how many cases have each view, if the dataset has views."""
    if not table.spec.views:
        return {}
    there = table.with_images().select(
        pl.col("image").list.get(number).is_not_null().alias(name)
        for number, name in enumerate(table.spec.views)
    )
    lines = [f"  {name}: {there[name].sum()}" for name in table.spec.views]
    both = there.select(pl.all_horizontal(pl.all())).to_series().sum()
    return {"Cases with each view": "\n".join([*lines, f"  all of them: {both}"])}


def _per_class(table: LesionTable, usable: pl.DataFrame) -> str:
    spec = table.spec

    def counted(frame: pl.DataFrame, names: tuple[str, str]) -> pl.DataFrame:
        return frame.group_by("diagnosis").agg(
            pl.len().alias(names[0]), pl.col("group").n_unique().alias(names[1])
        )

    everything = counted(table.cases, ("rows", f"{spec.group}s"))
    usable_counts = counted(usable, ("usable images", f"{spec.group}s of these"))
    titles = pl.DataFrame(
        {"diagnosis": spec.classes, "meaning": [spec.class_titles[name] for name in spec.classes]}
    )
    joined = titles.join(everything, on="diagnosis", how="left", maintain_order="left").join(
        usable_counts, on="diagnosis", how="left", maintain_order="left"
    )
    return text_table(joined.fill_null(0), fmt_str_lengths=60)


def _missing(table: LesionTable) -> str:
    spec = table.spec
    names = [feature.name for feature in spec.features]
    share = [(pl.col(name).is_null().mean() * 100).round(0).cast(pl.Int64) for name in names]
    overall = table.cases.select(share).transpose(include_header=True, column_names=["all"])
    by_class = table.cases.group_by("diagnosis").agg(share).sort("diagnosis")
    columns = by_class.drop("diagnosis").transpose(
        include_header=True, column_names=by_class["diagnosis"].to_list()
    )
    shown = overall.join(columns, on="column").rename({"column": "feature"})
    return text_table(shown, fmt_str_lengths=60)


def _categories(table: LesionTable) -> str:
    return "\n".join(
        f"  {feature.name}: "
        + ", ".join(
            f"{name} {count}" for name, count in category_counts(table.cases, feature.name).items()
        )
        for feature in table.spec.features
        if feature.kind == "categorical"
    )


def _numbers(table: LesionTable) -> str:
    lines = []
    for feature in table.spec.features:
        if feature.kind == "numeric":
            column = table.cases[feature.name].drop_nulls().to_numpy()
            text = "none"
            if len(column):
                least, middle, most = np.quantile(column, (0, 0.5, 1))
                text = f"least {least:g}, median {middle:g}, most {most:g} {feature.unit}"
            lines.append(f"  {feature.name}: {text}".rstrip())
    return "\n".join(lines)


def _twins(table: LesionTable, cache: ImageCache) -> tuple[list[str], int]:
    """Return a line for each image under several names, and how many have different diagnoses."""
    readable = with_readable(table.with_images(), cache.unreadable)
    present = with_content(readable, cache.digests)
    lines, disagreeing = [], 0
    shared = present.filter(pl.col("content").is_duplicated())
    for part in shared.partition_by("content", maintain_order=True):
        names = [f"{row['case_id']} ({row['diagnosis']})" for row in part.iter_rows(named=True)]
        differ = part["diagnosis"].n_unique() > 1
        disagreeing += differ
        lines.append(one_image(names) + (": the labels disagree" if differ else ""))
    return lines, disagreeing


def _near_twins(usable: UsableCases) -> tuple[list[str], int]:
    """Return a line for each pair that is nearly the same, and how many have two diagnoses.

    Pairs of two diagnoses come first, then those of two groups.
    """
    cases = with_content(usable.table.cases, usable.cache.digests)
    pairs = case_pairs(pl.concat([usable.twins.pairs, usable.twins.chained]), cases)
    differ = pl.col("diagnosis") != pl.col("diagnosis_other")
    apart = pl.col("group") != pl.col("group_other")
    pairs = pairs.with_columns(differ.alias("differ"), apart.alias("apart"))
    pairs = pairs.sort("differ", "apart", descending=True, maintain_order=True)
    lines = [
        f"{row['case_id']} ({row['group']}, {row['diagnosis']}) and {row['case_id_other']} "
        f"({row['group_other']}, {row['diagnosis_other']}): similarity {row['similarity']:.2f}"
        + ("; the labels disagree" if row["differ"] else "")
        for row in pairs.iter_rows(named=True)
    ]
    return lines, int(pairs["differ"].sum())


def _near_text(usable: UsableCases, lines: list[str]) -> str:
    parts = [f"  Nearly the same: {THRESHOLD}."]
    if flat := len(usable.twins.flat):
        parts.append(f"  {flat} images have too little contrast and were not compared.")
    return "\n".join([*parts, *([_some(lines)] if lines else [])])


def _some(lines: list[str]) -> str:
    shown = [f"  {line}" for line in lines[:_SHOWN]]
    more = [f"  ... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join(shown + more)


def text_table(frame: pl.DataFrame, **options: Any) -> str:
    """Return a whole table as Markdown text, without shape and types.

    Args:
        frame: The table.
        options: Of `polars.Config`, beside those of every such table.
    """
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        **options,
    ):
        return str(frame)
