"""Checks for unlikely metadata values: unpublished categories and implausible numbers."""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata

import polars as pl

from vitatt.data.datasets.schema import DatasetSpec, Feature

_SHOWN = 5
_RARE = 3
_ALIKE = 0.85


def odd_values(cases: pl.DataFrame, spec: DatasetSpec) -> list[str]:
    """Return a sentence for each feature with unpublished categories or implausible numbers."""
    found = [
        _unpublished(cases, feature, spec.title)
        if feature.kind == "categorical"
        else _implausible(cases, feature)
        for feature in spec.features
    ]
    return [sentence for sentence in found if sentence]


def questions(cases: pl.DataFrame, spec: DatasetSpec) -> list[str]:
    """Return questions about values: unpublished, implausible, rare, or spelt nearly alike."""
    found = odd_values(cases, spec)
    for feature in spec.features:
        if feature.kind != "categorical":
            continue
        counts = category_counts(cases, feature.name)
        found += [
            f"'{feature.name}' is {name} in {_rows(count)} only: is it meant?"
            for name, count in counts.items()
            if count < _RARE
        ]
        found += [
            f"'{feature.name}' is {one} in {_rows(counts[one])} and {other} in "
            f"{_rows(counts[other])}: are they one category?"
            for one, other in itertools.combinations(counts, 2)
            if not {one, other} <= set(feature.categories) and _alike(one, other)
        ]
    named = cases.filter(pl.col("group") != pl.col("case_id"))["group"]
    if merged := named.n_unique() - named.str.to_uppercase().str.replace_all(r"\s+", "").n_unique():
        found.append(
            f"{merged} {spec.group}s differ from another one in capitals or spaces only: are they "
            "the same?"
        )
    if spec.ungrouped_share and named.len() > 1 and named.n_unique() == named.len():
        found.append(
            f"No two images have the same {spec.group_column}: does it name the {spec.group}, and "
            "not the image?"
        )
    return found


def category_counts(cases: pl.DataFrame, name: str) -> dict[str, int]:
    """Return the number of rows of each category, most frequent first."""
    counts = cases[name].drop_nulls().value_counts().sort(["count", name], descending=[True, False])
    return dict(counts.iter_rows())


def _unpublished(cases: pl.DataFrame, feature: Feature, title: str) -> str:
    if not feature.categories:
        return ""
    counts = category_counts(cases, feature.name)
    strange = {name: count for name, count in counts.items() if name not in feature.categories}
    if not strange:
        return ""
    shown = ", ".join(f"{name} ({count})" for name, count in list(strange.items())[:_SHOWN])
    more = ", ..." if len(strange) > _SHOWN else ""
    return (
        f"'{feature.name}' has {len(strange)} categor{'ies' if len(strange) > 1 else 'y'} that "
        f"{title} does not have: {shown}{more}. Each is a category of its own: correct what is "
        f"misspelt; known are {', '.join(feature.categories)}."
    )


def _implausible(cases: pl.DataFrame, feature: Feature) -> str:
    if (plausible := feature.plausible) is None:
        return ""
    low = pl.col(feature.name) < plausible.least
    high = pl.col(feature.name) > plausible.most
    wrong = cases.filter(low | high)
    if wrong.is_empty():
        return ""
    values = wrong[feature.name].unique(maintain_order=True)
    shown = ", ".join(f"{value:g}" for value in values[:_SHOWN])
    more = ", ..." if len(values) > _SHOWN else ""
    return (
        f"'{feature.name}' is not {plausible} {feature.unit} in {_rows(wrong.height)}: "
        f"{shown}{more} (first {wrong['case_id'][0]}). "
        "Correct the value, or leave it empty if it is unknown."
    )


def _rows(count: int) -> str:
    return f"{count} row{'s' if count > 1 else ''}"


def _alike(one: str, other: str) -> bool:
    """Whether two categories may be spellings of the same one."""
    plain, other_plain = _plain(one), _plain(other)
    if plain == other_plain:
        return True
    if any(character.isdigit() for character in plain + other_plain):
        return False  # names with numbers, such as type 1 and type 2, are meant to differ
    return difflib.SequenceMatcher(None, plain, other_plain).ratio() >= _ALIKE


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in lower case and without accents."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[\W_]+", "", "".join(c for c in letters if not unicodedata.combining(c)))
