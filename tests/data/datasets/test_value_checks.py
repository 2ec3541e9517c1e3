"""Odd values are asked about, published ones are not."""

from __future__ import annotations

import polars as pl
import pytest

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.spellings import UNKNOWN, YES_NO, compared
from vitatt.data.datasets.value_checks import category_counts, odd_values, questions

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

SPEC = PAD_UFES_20.spec


def table(**columns: list[object]) -> pl.DataFrame:
    """Rows that have these values, and nothing recorded otherwise."""
    height = len(next(iter(columns.values())))
    names = {f.name: pl.Float64 if f.kind == "numeric" else pl.String for f in SPEC.features}
    return pl.DataFrame(
        {
            "case_id": [f"c{n}" for n in range(height)],
            "group": [f"P{n // 2}" for n in range(height)],
            **{name: columns.get(name, [None] * height) for name in names},
        },
        schema_overrides=names,
    )


def test_published_values_are_not_odd() -> None:
    for feature in SPEC.features:
        values: list[object] = [*feature.categories] or [None]
        if feature.plausible:
            values = [feature.plausible.least, feature.plausible.most, 50]
        assert odd_values(table(**{feature.name: values}), SPEC) == []


def test_unpublished_categories_are_named_with_counts() -> None:
    (sentence,) = odd_values(table(region=["FACE", "MOON", "MOON", None, "KNEE"]), SPEC)
    assert sentence.startswith(
        "'region' has 2 categories that PAD-UFES-20 does not have: MOON (2), KNEE (1)."
    )


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("age", [-1.0, 40.0, 999.0, None], "not at least 0 and at most 120 years in 2 rows"),
        ("diameter_1", [0.0, 500.0, 5000.0], "not at least 0 and at most 500 mm in 1 row: 5000"),
    ],
)
def test_implausible_numbers(column: str, values: list[float | None], expected: str) -> None:
    (sentence,) = odd_values(table(**{column: [*values]}), SPEC)
    assert f"'{column}' is {expected}" in sentence


def test_rare_and_alike_categories() -> None:
    origins = ["POMERANIA"] * 9 + ["POMERANIAN"] * 3 + ["ITALY"] * 4 + ["IT\xc1LY"] * 3 + ["SPAIN"]
    found = questions(table(background_father=[*origins]), SPEC)
    assert found == [
        "'background_father' is SPAIN in 1 row only: is it meant?",
        "'background_father' is POMERANIA in 9 rows and POMERANIAN in 3 rows: are they one "
        "category?",
        "'background_father' is ITALY in 4 rows and IT\xc1LY in 3 rows: are they one category?",
    ]


def test_published_categories_are_never_one() -> None:
    sites = [*ISIC_2019.spec.features[2].categories] * 3
    cases = pl.DataFrame(
        {
            "case_id": [f"c{n}" for n in range(len(sites))],
            "group": "L",
            "age_approx": 50.0,
            "sex": "male",
            "anatom_site_general": sites,
        }
    )
    assert questions(cases, ISIC_2019.spec) == []
    types = [*"123"] * 4 + ["7"] * 3
    (odd,) = questions(table(fitspatrick=[*types]), SPEC)
    assert "does not have: 7 (3)" in odd


def test_groups_that_differ_in_capitals_or_spaces() -> None:
    cases = table(age=[50.0] * 4).with_columns(group=pl.Series(["PAT_1", "pat_1", "PAT 2", "P3"]))
    (found,) = questions(cases, SPEC)
    assert found.startswith("1 patients differ from another one in capitals or spaces only")


def test_counts_of_categories() -> None:
    counts = category_counts(table(smoke=["True", None, "False", "False"]), "smoke")
    assert list(counts.items()) == [("False", 2), ("True", 1)]


def test_no_spelling_has_two_meanings() -> None:
    assert not set(UNKNOWN) & set(YES_NO)
    for spec in (SPEC, ISIC_2019.spec):
        for feature in spec.features:
            assert not set(UNKNOWN) & set(feature.spellings)
            assert all(name == name.upper() for name in feature.spellings)
            if feature.categories:
                assert set(feature.spellings.values()) <= set(feature.categories)
            for name in feature.categories:
                assert feature.spellings.get(name.upper(), name) == name


def test_every_spelling_of_unknown_is_in_the_form_that_is_compared() -> None:
    frame = pl.DataFrame({"x": [f" {spelling.lower()} " for spelling in UNKNOWN]})
    assert frame.select(compared(pl.col("x"))).to_series().to_list() == list(UNKNOWN)
