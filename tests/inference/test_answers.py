"""Answers are read as the readers of the datasets read their files, and checked."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.datasets.spellings import UNKNOWN
from vitatt.inference.answers import AnswerReader
from vitatt.types import FeatureEncoding, FoldSpec, LesionTask, UsageError

SPELLINGS = ["{}", "{} ", " {}\t", "{}.0", "{}.00"]


def reader(dataset: str = "pad_ufes_20", *features: FeatureEncoding) -> AnswerReader:
    spec = DATASETS[dataset].spec
    task = LesionTask(dataset, spec.classes, (1,), features, 0.1, 32, FoldSpec(0, 5, 0))
    return AnswerReader([task])


def values(spec: DatasetSpec, name: str) -> list[str]:
    """All that a column may hold, in many spellings."""
    (feature,) = (one for one in spec.features if one.name == name)
    if feature.kind == "numeric":
        words = ["5", "5.50", "1e1", "+7", "0"]
        return [*words, *UNKNOWN]
    words = [*feature.categories, *feature.spellings] or ["GERMANY", "Brasil", "new  zealand"]
    words = [spelling(word) for word in words for spelling in (str, str.lower, str.title)]
    words += [form.format(word) for word in words[:6] for form in SPELLINGS[:3]]
    words += [form.format(number) for number in range(7) for form in SPELLINGS]
    if feature.categories:  # what is none of them is an error, but only a note for a file
        known = {*feature.categories, *feature.spellings}
        known |= {word.upper() for word in known}
        plain = {word: " ".join(word.upper().split()) for word in words}
        words = [word for word in words if plain[word].removesuffix(".0") in known]
    return [*words, *UNKNOWN, *(word.lower() for word in UNKNOWN)]


def test_pad_answers_as_its_reader_has_them(tmp_path):
    dataset = DATASETS["pad_ufes_20"]
    names = [feature.name for feature in dataset.spec.features]
    given = {name: values(dataset.spec, name) for name in names}
    count = max(map(len, given.values()))
    rows = [
        {
            "img_id": f"{number}.png",
            **{name: given[name][number % len(given[name])] for name in names},
        }
        for number in range(count)
    ]
    write(tmp_path / "metadata.csv", rows)
    expected = dataset.read(tmp_path, labelled=False).cases.select(names).rows(named=True)
    found = [reader().read(row) for row in rows]
    assert found == expected
    assert all(any(row[name] is not None for row in found) for name in names)


def test_isic_answers_as_its_reader_has_them(tmp_path):
    dataset = DATASETS["isic_2019"]
    names = [feature.name for feature in dataset.spec.features]
    given = {name: values(dataset.spec, name) for name in names}
    rows = [
        {"image": str(number), **{name: given[name][number % len(given[name])] for name in names}}
        for number in range(max(map(len, given.values())))
    ]
    write(tmp_path / "ISIC_2019_Test_Metadata.csv", rows)
    expected = dataset.read(tmp_path, labelled=False).cases.select(names).rows(named=True)
    assert [reader("isic_2019").read(row) for row in rows] == expected


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        *[(yes, "True") for yes in (True, np.True_, 1, "yes", "TRUE", "sim")],
        *[(no, "False") for no in (False, np.False_, 0, "No", "f")],
        *[(unknown, None) for unknown in (None, "", "UNK", float("nan"), np.nan, " n/a ")],
    ],
)
def test_yes_or_no(answer, value):
    assert reader().read({"itch": answer})["itch"] == value


@pytest.mark.parametrize(
    ("answer", "value"),
    [(55, 55.0), (5.5, 5.5), ("55", 55.0), (" 55.0 ", 55.0), (np.int64(5), 5.0), (None, None)],
)
def test_numbers(answer, value):
    assert reader().read({"age": answer})["age"] == value


@pytest.mark.parametrize("answer", [3, 3.0, np.float32(3), "3", "III", "iii "])
def test_numbers_that_are_categories(answer):
    assert reader().read({"fitspatrick": answer})["fitspatrick"] == "3"


def test_every_feature_has_a_value():
    spec = DATASETS["pad_ufes_20"].spec
    assert reader().read(None) == {feature.name: None for feature in spec.features}


def test_categories_that_training_saw_are_known():
    seen = FeatureEncoding("region", "region", "categorical", categories=("ELBOW PIT", "NOSE"))
    assert reader("pad_ufes_20", seen).read({"region": "elbow pit"})["region"] == "ELBOW PIT"
    with pytest.raises(UsageError, match=r"'region' .* but got 'elbow pit'"):
        reader().read({"region": "elbow pit"})


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"agee": 5}, r"PAD-UFES-20 has no column 'agee', .* Did you mean age.* It has: smoke, "),
        ({"itches": True}, r"no column 'itches'.* Did you mean itch\?"),
        ({"region": "NOES"}, r"'region' .* got 'NOES'\. Did you mean NOSE\? It has: ABDOMEN, ARM"),
        ({"itch": "perhaps"}, "'itch' in the answers to be a category of PAD-UFES-20"),
        ({"fitspatrick": 2.5}, "'fitspatrick' .* got '2.5'"),
        ({"itch": [True]}, "'itch' .* text, a number, True, False or None, but got a list"),
        ({"age": "55 years"}, "'age' .* a number in years, but got '55 years'"),
        ({"age": True}, "'age' .* a number in years, but got 'True'"),
        ({"age": "1_0"}, "'age' .* but got '1_0'"),
        ({"age": float("inf")}, "'age' .* a number in years, but got 'inf'"),
        ({"age": 250}, "'age' .* at least 0 and at most 120 years, but got 250. Correct it"),
        ({"diameter_1": -1}, "'diameter_1' .* at least 0 and at most 500 mm, but got -1"),
    ],
)
def test_answers_that_cannot_be(answers, said):
    with pytest.raises(UsageError, match=said):
        reader().read(answers)


def test_answers_that_are_no_mapping():
    with pytest.raises(UsageError, match="answers to be values by column, but got a list"):
        reader().read(["age", 55])


@pytest.mark.parametrize(("text", "number"), [("44,5", 44.5), ("0,125", 0.125), ("7,25", 7.25)])
def test_a_decimal_comma(text, number):
    assert reader().read({"diameter_1": text})["diameter_1"] == number


@pytest.mark.parametrize("text", ["1,234", "1,2,3", ",5", "4,"])
def test_a_comma_that_may_be_anything(text):
    with pytest.raises(UsageError, match=f"to be a number in mm, but got '{text}'"):
        reader().read({"diameter_1": text})
