"""Draft the description of a dataset from its table, and warn of what gives the label away."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
import yaml

from vitatt.data.checks.leaks import label_copies, missing_pattern
from vitatt.data.datasets.description import Description, parse_description
from vitatt.data.datasets.spellings import canonical, compared_text, known_values
from vitatt.data.images.files import ImageFiles
from vitatt.studies.described_columns import (
    describe_column,
    find_group,
    find_id,
    find_image,
    group_kind,
    image_share,
)
from vitatt.studies.described_images import shared_image_warnings
from vitatt.types import UsageError
from vitatt.words import did_you_mean

_LABEL = " label"  # no column of a file begins with a space
_ENOUGH_IMAGES = 0.02
_GROUPS = 5
UNKNOWN_GROUP = "CHANGE_ME"
"""Stands for a group that the table does not seem to have."""


class Draft(NamedTuple):
    """A drafted description.

    Attributes:
        text: YAML with comments.
        warnings: What a person should look at, one sentence each.
    """

    text: str
    warnings: tuple[str, ...]


def draft_description(
    frame: pl.DataFrame,
    images: ImageFiles,
    *,
    table: str,
    name: str,
    label: str | None = None,
    labels: pl.DataFrame | None = None,
    label_table: str | None = None,
    group: str | None = None,
    case_id: str | None = None,
) -> Draft:
    """Draft a description.

    Args:
        frame: The table as text.
        images: Image files below the data folder.
        table: Path of the table below the data folder.
        name: Name of the dataset.
        label: Column of the label.
        labels: Another table as text, with the labels of the same ids.
        label_table: Path of that table below the data folder.
        group: Column of the group; by default the one whose name is likeliest.
        case_id: Column that names the case; by default one that is different in each row.

    Raises:
        UsageError: If a column is not there, none can be the id, or the label has one value.
    """
    frame = known_values(frame)
    for option, column in (("--group", group), ("--id", case_id)):
        _check_column(column, frame, table, option)
    if labels is None:
        if label is None:
            raise UsageError(f"Name the column of {table} that holds the label with --label.")
        _check_column(label, frame, table, "--label")
    if case_id is not None and case_id == label:
        raise UsageError(f"Expected --id and --label to name two columns, but got '{label}' twice.")
    others = frame if label is None or label not in frame.columns else frame.drop(label)
    case_id = case_id or find_id(others, images)
    if case_id is None:
        raise UsageError(
            f"No column of {table} has another value in each row, to name the case by. Add one, or "
            "remove rows that repeat, and name the column with --id."
        )
    columns: str | list[str] = label or ""
    if labels is not None:
        frame, columns = _labelled(frame, known_values(labels), case_id, label, str(label_table))
        label = label or _LABEL
    assert label is not None
    classes = frame[label].drop_nulls().value_counts(sort=True)
    if len({compared_text(value) for value in classes[label]}) < 2:
        raise UsageError(
            f"Expected the column '{label}' of {label_table or table} to have at least two labels."
        )
    warnings = _repeated(frame, case_id, table)
    image = find_image(others, images)
    share = image_share(others[image], images)
    if share < _ENOUGH_IMAGES:
        image = case_id
        warnings.append(
            "No column names the image files. Name one as `image`, or a pattern such as "
            f"'{{{case_id}}}.jpg'."
        )
    taken = {label, case_id, image}
    group = group or find_group(frame.drop(taken))
    if group is None:
        warnings.append(
            f"No column seems to name the patient or the lesion: {UNKNOWN_GROUP}. Without it, "
            "images of one patient stand in training and test."
        )
    elif empty := frame[group].null_count():
        warnings.append(
            f"'{group}' is empty in {empty} of {frame.height} rows, and each of these is a group "
            "of its own. Fill it in, or name the share that may be empty as `ungrouped_share`."
        )
    if group is not None and share >= _ENOUGH_IMAGES:
        cases = frame.select(
            pl.col(case_id).alias("case_id"),
            pl.coalesce(group, case_id).alias("group"),
            images.of(frame[image]).alias("image"),
        )
        warnings += shared_image_warnings(cases.drop_nulls("image"))
    rest = [one for one in frame.columns if one not in {*taken, group}]
    found = [describe_column(frame[one], frame[label]) for one in rest]
    named = dict.fromkeys(columns) if isinstance(columns, list) else _classes(frame[label])
    plain: dict[str, Any] = {
        "name": name,
        "table": table,
        "id": case_id,
        **({} if image == case_id else {"image": image}),
        "group": group or UNKNOWN_GROUP,
        **({} if group is None else {"group_kind": group_kind(group)}),
        "label": columns,
        **({} if label_table is None else {"label_table": label_table}),
        "classes": named,
        **({"positive": _rarest(list(named), frame[label])} if len(named) == 2 else {}),
        "features": {one.name: one.entry for one in found if one.entry is not None},
        "barred": {one.name: one.reason for one in found if one.entry is None},
    }
    warnings += [
        f"'{one.name}' is barred: {one.reason}."
        for one in found
        if one.entry is None and ("diagnosis" in one.reason or "label" in one.reason)
    ]
    if not plain["features"]:
        warnings.append("No column seems to be a feature: a description needs one at least.")
    else:
        warnings += _leaks(frame, plain, frame[label])
    notes = {
        "image": f"names {share:.0%} of the rows' image files" if share else "",
        "classes": ", ".join(f"{value} {count}" for value, count in classes.iter_rows()),
        "positive": "the class to be detected: a guess, since it is the rarer one",
        "features": "missing: "
        + ", ".join(
            f"{one.name} {frame[one.name].null_count() / frame.height:.0%}"
            for one in found
            if one.entry is not None
        ),
    }
    return Draft(_text(plain, notes, warnings, frame.height), tuple(warnings))


def _check_column(column: str | None, frame: pl.DataFrame, table: str, option: str) -> None:
    if column is not None and column not in frame.columns:
        raise UsageError(
            f"Expected {option} to name a column of {table}, but got '{column}'."
            f"{did_you_mean(column, frame.columns)} It has {', '.join(frame.columns)}."
        )


def _labelled(
    frame: pl.DataFrame, labels: pl.DataFrame, case_id: str, label: str | None, table: str
) -> tuple[pl.DataFrame, str | list[str]]:
    """The table with a column of labels from another one; and what names these there."""
    _check_column(case_id, labels, table, "--id")
    if label is not None:
        _check_column(label, labels, table, "--label")
        other = labels.select(case_id, label)
        return frame.drop(label, strict=False).join(other, on=case_id, how="left"), label
    marks = [name for name in labels.columns if name != case_id and _is_mark(labels[name])]
    used = [name for name in marks if (labels[name].cast(pl.Float64) == 1).any()]
    if len(used) < 2 or (labels.select(pl.col(used).cast(pl.Float64)).sum_horizontal() > 1).any():
        raise UsageError(
            f"Expected columns of 0 and 1, with one 1 in each row, in {table}, but found "
            f"{used or 'none'}. Name the column of the label with --label."
        )
    named = labels.select(
        case_id,
        pl.coalesce(
            pl.when(pl.col(name).cast(pl.Float64) == 1).then(pl.lit(name)) for name in used
        ).alias(_LABEL),
    )
    return frame.drop(used, strict=False).join(named, on=case_id, how="left"), used


def _is_mark(column: pl.Series) -> bool:
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.is_in([0.0, 1.0]).fill_null(value=False).all()


def _classes(labels: pl.Series) -> dict[str, dict[str, list[str]] | None]:
    """Classes by their most frequent spelling, with the other spellings of the same name."""
    alike: dict[str, list[str]] = {}
    for value in labels.drop_nulls().value_counts(sort=True)[labels.name].to_list():
        alike.setdefault(compared_text(value), []).append(value)
    named = {first: others for first, *others in alike.values()}
    return {name: {"names": named[name]} if named[name] else None for name in sorted(named)}


def _rarest(classes: Sequence[str], labels: pl.Series) -> str:
    """The class of the fewest rows, in any spelling."""
    rows = Counter(compared_text(value) for value in labels.drop_nulls())
    return min(classes, key=lambda name: rows[compared_text(name)])


def _repeated(frame: pl.DataFrame, case_id: str, table: str) -> list[str]:
    twice = frame.filter(pl.col(case_id).is_duplicated())[case_id]
    if twice.is_empty():
        return []
    return [
        f"'{case_id}' repeats in {len(twice)} rows of {table}, the first being {twice[0]}: each "
        "row must be one image."
    ]


def _leaks(frame: pl.DataFrame, plain: dict[str, Any], label: pl.Series) -> list[str]:
    """Features that nearly are the label, and gaps that tell it."""
    description: Description = parse_description(yaml.safe_dump(plain), "the draft")
    features = description.spec.features
    group = plain["group"] if plain["group"] in frame.columns else plain["id"]
    cases = frame.filter(label.is_not_null()).select(
        pl.coalesce(pl.col(group), pl.col(plain["id"])).alias("group"),
        label.drop_nulls().alias("diagnosis"),
        *(
            _finite(pl.col(one.name)) if one.kind == "numeric" else canonical(one)
            for one in features
        ),
    )
    counts = cases["diagnosis"].value_counts()["count"]
    if cases["group"].n_unique() < _GROUPS or (counts.max() or 0) < _GROUPS:  # type: ignore[operator]
        return ["There are too few groups or rows to look for columns that give the label away."]
    found = [*label_copies(cases, features), missing_pattern(cases, features)]
    return [f"{one.check}: {one.outcome}." for one in found if not one.ok]


def _finite(column: pl.Expr) -> pl.Expr:
    """Text as numbers, null where it is none."""
    numbers = column.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    return pl.when(numbers.is_finite()).then(numbers)


def _text(plain: dict[str, Any], notes: dict[str, str], warnings: Sequence[str], rows: int) -> str:
    """YAML with the warnings above it, and remarks beside keys."""
    lines = [f"# Drafted from {rows} rows. Check every line: only you know what the columns mean."]
    for warning in warnings:
        lines += textwrap.wrap(warning, 96, initial_indent="# - ", subsequent_indent="#   ")
    for key, value in plain.items():
        if note := notes.get(key, ""):
            lines += textwrap.wrap(note, 98, initial_indent="# ", subsequent_indent="# ")
        lines.append(yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True).rstrip())
    return "\n".join(lines).replace(": null\n", ":\n") + "\n"
