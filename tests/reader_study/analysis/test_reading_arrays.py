"""Arrangement of readings, and messages about tables that cannot be used."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.reader_study.analysis.simulated import ARMS, DESIGN, arrays_of, simulate
from vitatt.reader_study.analysis.reading_arrays import reading_arrays, require_crossed
from vitatt.types import UsageError

READINGS = simulate(np.random.default_rng(0), readers=3, cases=8)


def test_each_reading_has_its_place_whatever_the_order_of_rows():
    shuffled = READINGS.sample(fraction=1, shuffle=True, seed=1)
    arrays = arrays_of(shuffled)
    seconds = arrays.numbers("seconds")
    for arm, reader, case in np.ndindex(seconds.shape):
        row = READINGS.filter(
            arm=ARMS[arm], reader=arrays.readers[reader], case_id=arrays.cases[case]
        )
        assert seconds[arm, reader, case] == row["seconds"].item()
        name = arrays.classes[arrays.diagnoses()[arm, reader, case]]
        assert name == row["diagnosis"].item()
        right = row["diagnosis"].item() == row["truth"].item()
        assert arrays.correct()[arm, reader, case] == right
    require_crossed(arrays)


def test_missing_readings_are_nan_and_named():
    withdrawn = READINGS.filter(
        ~((pl.col("reader") == "R01") & (pl.col("arm") == "ai") & (pl.col("position") > 5))
    )
    arrays = arrays_of(withdrawn)
    assert np.isnan(arrays.correct()).sum() == 3
    assert (arrays.diagnoses() == -1).sum() == 3
    with pytest.raises(UsageError, match=r"reader R01 lacks 3 of 8 cases in arm ai\.$"):
        require_crossed(arrays)
    require_crossed(arrays.of_readers(np.array([True, False, True])))
    gaps = READINGS.filter((pl.col("case_id") != "c000") | (pl.col("arm") == "ai"))
    with pytest.raises(UsageError, match=r"arm ai_reasons; .*, and 1 more\.$"):
        require_crossed(arrays_of(gaps))


def test_a_group_has_several_cases():
    arrays = arrays_of(simulate(np.random.default_rng(0), readers=3, cases=8, cases_per_group=4))
    assert arrays.num_groups == 2
    np.testing.assert_allclose(arrays.by_group(np.arange(8.0)), [6, 22])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("truth", "score"), "lacks the columns truth, score"),
        (lambda table: table.head(0), "the table has no row"),
        (lambda table: table.with_columns(diagnosis=pl.lit("AKC")), "diagnosis to hold BCC.*'AKC'"),
        (lambda table: table.with_columns(arm=pl.lit("AI")), "arm to hold no_ai.*'AI'"),
        (lambda table: table.with_columns(experience=pl.lit("chief")), "experience to hold.*chief"),
        (lambda table: table.vstack(table.head(1)), "R00 has several of case c000 in arm no_ai"),
        (
            lambda table: table.with_columns(
                experience=pl.when(arm="ai").then(pl.lit("expert")).otherwise("experience")
            ),
            "each reader to have one experience, but R00 has expert, resident",
        ),
        (
            lambda table: table.with_columns(
                truth=pl.when(arm="ai").then(pl.lit("MEL")).otherwise("truth")
            ),
            "each case_id to have one truth, but c000 has BCC, MEL",
        ),
    ],
)
def test_messages(change, message):
    with pytest.raises(UsageError, match=message):
        arrays_of(change(READINGS))


def test_a_positive_class_that_is_none():
    with pytest.raises(UsageError, match="Did you mean MEL"):
        reading_arrays(READINGS, **(DESIGN | {"positive": ["MELA"]}))
