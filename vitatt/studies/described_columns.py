"""What the columns of an unknown table are likely to be: the base of a drafted description."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import polars as pl

from vitatt.data.datasets.description import is_taken
from vitatt.data.datasets.spellings import YES_NO, compared_text, sexes
from vitatt.data.images.files import ImageFiles

_PATIENT = re.compile(r"patient|person|subject|participant|paciente|(^|_)pid($|_)", re.IGNORECASE)
_LESION = re.compile(r"lesion|tumou?r|case", re.IGNORECASE)
_LATER = re.compile(
    r"biops|histo(?!ry)|path(o|_|report)|diagnos|confirm|malign|benign|excis|surg|treat|therap|manage"
    r"|outcome|follow|stage|breslow|iddx|^dx|_dx|^mel_|score|weight|split|attribution|licen[cs]e",
    re.IGNORECASE,
)
_ID = re.compile(r"(^|[_\W])id$|_?(name|file|image|uuid)$", re.IGNORECASE)
_SEX = {*sexes("female", "male")}
_MANY = 30
_FEW = 6
_MOSTLY = 0.98


class Column(NamedTuple):
    """A column that is neither id, image, group nor label.

    Attributes:
        name: Its name.
        entry: What a description says of it as a feature; None if it is none.
        reason: Why it is none.
    """

    name: str
    entry: Mapping[str, Any] | str | None
    reason: str = ""


def image_share(names: pl.Series, images: ImageFiles) -> float:
    """Share of the rows whose value names an image file."""
    return float(images.of(names).is_not_null().sum()) / max(len(names), 1)


def find_id(frame: pl.DataFrame, images: ImageFiles) -> str | None:
    """The column that names each row, by preference as its image is named; None if none does."""
    unique = [
        name
        for name in frame.columns
        if not frame[name].null_count() and frame[name].n_unique() == frame.height
    ]
    return max(unique, key=lambda name: image_share(frame[name], images), default=None)


def find_image(frame: pl.DataFrame, images: ImageFiles) -> str:
    """The column that names most image files."""
    return max(frame.columns, key=lambda name: image_share(frame[name], images))


def find_group(frame: pl.DataFrame) -> str | None:
    """The column that by its name is the patient's or, if there is none, the lesion's."""
    for pattern in (_PATIENT, _LESION):
        for name in frame.columns:
            values = frame[name].drop_nulls()
            if pattern.search(name) and 1 < values.n_unique() < len(values):
                return name
    return None


def group_kind(name: str) -> str:
    """What a group is by the name of its column: ``lesion``, else ``patient``."""
    return "lesion" if _LESION.search(name) and not _PATIENT.search(name) else "patient"


def describe_column(column: pl.Series, label: pl.Series) -> Column:
    """What a column may be.

    Args:
        column: Clean text.
        label: Of the same rows.
    """
    name, values = column.name, column.drop_nulls()
    spelled: dict[str, str] = {}
    for value in values.value_counts(sort=True)[name].to_list():
        spelled.setdefault(compared_text(value), value)
    if not spelled:
        return Column(name, None, "it is empty")
    if is_taken(name):
        return Column(
            name, None, "vitatt's results have a column of this name: rename it to use it"
        )
    if later := _LATER.search(name):
        return Column(
            name, None, f"by its name ('{later[0]}') it may be known only after the diagnosis"
        )
    of = label.filter(column.is_not_null()).drop_nulls().unique()
    if column.null_count() and len(of) == 1:
        return Column(name, None, f"it has a value only where the label is {of[0]}")
    if len(spelled) == 1:
        return Column(name, None, f"it is always {values[0]}")
    if _is_yes_no(spelled.keys()):
        return Column(name, "yes_no")
    if spelled.keys() <= _SEX:
        return Column(name, "sex")
    if len(spelled) > _MANY and (_ID.search(name) or _PATIENT.search(name)):
        return Column(name, None, "it seems to identify somebody or something")
    numbers = values.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    found = numbers.filter(numbers.is_finite()).drop_nulls()
    measured = found.n_unique() > _FEW or bool((found != found.round()).any())
    if len(found) >= _MOSTLY * len(values) and measured:
        low, high = (float(one) for one in (found.min(), found.max()))  # type: ignore[arg-type]
        if found.n_unique() == len(column) == round(high - low) + 1:
            return Column(name, None, "it numbers the rows")
        return Column(name, {"kind": "numeric", "unit": "", "range": [_short(low), _short(high)]})
    if len(spelled) > _MANY:
        return Column(name, None, f"it is free text or a name: {len(spelled)} different values")
    return Column(name, {"categories": sorted(_short_text(one) for one in spelled.values())})


def _is_yes_no(values: Collection[str]) -> bool:
    """Whether these are a yes and a no; single letters, which may be codes, only in known pairs."""
    letters = {value for value in values if len(value) == 1 and value.isalpha()}
    return {YES_NO.get(value) for value in values} == {"False", "True"} and (
        not letters or letters in _LETTERS
    )


_LETTERS = ({"Y", "N"}, {"T", "F"}, {"J", "N"})


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _short_text(value: str) -> str:
    """A category as the reader has it: ``2`` for ``2.0``."""
    return re.sub(r"^(\d+)[.,]0+$", r"\1", value)
