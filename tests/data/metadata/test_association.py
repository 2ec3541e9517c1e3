"""Association against formulas written separately, the F test of scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import f_oneway
from scipy.stats.contingency import association as uncorrected

from vitatt.data.datasets.schema import Feature
from vitatt.data.metadata.association import associate

AGE = Feature("age", "age", "numeric", "years")
REGION = Feature("region", "body region")
ITCH = Feature("itch", "itches")


def random_table(seed: int, rows: int = 200) -> pl.DataFrame:
    """Features that go with the diagnosis, with gaps that do so too."""
    rng = np.random.default_rng(seed)
    diagnosis = rng.choice(["ACK", "BCC", "MEL", "NEV"], rows, p=[0.4, 0.4, 0.05, 0.15])
    offset = (diagnosis == "NEV") * 12.0
    table = pl.DataFrame(
        {
            "diagnosis": diagnosis,
            "age": rng.normal(60 - offset, 10),
            "region": np.where(
                rng.random(rows) < 0.3, diagnosis, rng.choice(["ARM", "FACE", "EAR"], rows)
            ),
            "itch": rng.choice(["True", "False"], rows),
        }
    )
    gap = pl.Series(rng.random(rows) < np.where(diagnosis == "NEV", 0.6, 0.1))
    return table.with_columns(
        pl.when(gap).then(None).otherwise(pl.col("age", "region")).name.keep()
    )


def naive_v(values: list[object], diagnoses: list[object]) -> float:
    """Bias-corrected Cramér's V, cell by cell."""
    n = len(values)
    rows, columns = sorted(set(values), key=str), sorted(set(diagnoses), key=str)
    chi2 = 0.0
    for value in rows:
        for diagnosis in columns:
            count = sum(
                v == value and d == diagnosis for v, d in zip(values, diagnoses, strict=True)
            )
            expected = values.count(value) * diagnoses.count(diagnosis) / n
            chi2 += (count - expected) ** 2 / expected
    r, c = len(rows), len(columns)
    phi2 = max(0.0, chi2 / n - (r - 1) * (c - 1) / (n - 1))
    r_corrected = r - (r - 1) ** 2 / (n - 1)
    c_corrected = c - (c - 1) ** 2 / (n - 1)
    return math.sqrt(phi2 / min(r_corrected - 1, c_corrected - 1))


def naive_eta(values: NDArray[np.float64], diagnoses: NDArray[np.str_]) -> float:
    """Correlation ratio by the two sums of squares."""
    between = sum(
        np.sum(diagnoses == d) * (values[diagnoses == d].mean() - values.mean()) ** 2
        for d in np.unique(diagnoses)
    )
    return math.sqrt(between / np.sum((values - values.mean()) ** 2))


def row(table: pl.DataFrame, feature: Feature) -> dict[str, object]:
    return associate(table, [feature]).row(0, named=True)


@pytest.mark.parametrize("seed", range(2))
def test_equals_the_formulas(seed: int) -> None:
    table = random_table(seed)
    result = associate(table, [AGE, REGION, ITCH])
    assert result["association"].is_sorted(descending=True)
    for found in result.iter_rows(named=True):
        observed = table.drop_nulls(found["feature"])
        values, diagnoses = observed[found["feature"]], observed["diagnosis"]
        if found["feature"] == "age":
            assert (found["kind"], found["measure"]) == ("numeric", "correlation ratio")
            expected = naive_eta(values.to_numpy(), diagnoses.to_numpy())
        else:
            assert (found["kind"], found["measure"]) == ("categorical", "Cramér's V")
            expected = naive_v(values.to_list(), diagnoses.to_list())
        assert found["association"] == pytest.approx(expected, rel=1e-10, abs=1e-10)
        assert found["observed"] == observed.height
        assert found["missing"] == pytest.approx(1 - observed.height / table.height, abs=1e-12)
        gaps = table[found["feature"]].is_null().to_list()
        expected = naive_v(gaps, table["diagnosis"].to_list()) if True in gaps else 0
        assert found["missing_association"] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_eta_squared_follows_from_the_f_test_of_scipy() -> None:
    table = random_table(0)
    observed = table.drop_nulls("age")
    groups = [part["age"].to_numpy() for part in observed.partition_by("diagnosis")]
    df1, df2 = len(groups) - 1, observed.height - len(groups)
    f = f_oneway(*groups).statistic
    eta = row(table, AGE)["association"]
    assert eta == pytest.approx(math.sqrt(f * df1 / (f * df1 + df2)), rel=1e-10)


def test_correction_takes_the_bias_off_unrelated_features() -> None:
    rng = np.random.default_rng(0)
    corrected, raw, squares = [], [], []
    n, classes = 120, 6
    for _ in range(150):
        diagnosis, region = rng.integers(0, classes, n), rng.integers(0, 10, n)
        table = pl.DataFrame(
            {
                "diagnosis": diagnosis.astype(str),
                "region": region.astype(str),
                "age": rng.normal(size=n),
            }
        )
        corrected.append(row(table, REGION)["association"])
        counts = table.pivot("region", index="diagnosis", values="age", aggregate_function="len")
        raw.append(uncorrected(counts.drop("diagnosis").fill_null(0).to_numpy().astype(int)))
        squares.append(row(table, AGE)["association"] ** 2)
    assert np.mean(raw) > 0.25
    assert np.mean(corrected) < 0.08  # above 0, for V itself cannot fall below it
    assert np.median(corrected) < 0.02
    # What the docstring says of eta, which has no correction.
    error = 4 * np.std(squares) / np.sqrt(len(squares))
    assert np.mean(squares) == pytest.approx((classes - 1) / (n - 1), abs=error)


def test_correction_vanishes_on_many_rows() -> None:
    table = random_table(0)
    many = pl.concat([table] * 500)
    observed = many.drop_nulls("region")
    counts = observed.pivot("region", index="diagnosis", values="itch", aggregate_function="len")
    expected = uncorrected(counts.drop("diagnosis").fill_null(0).to_numpy().astype(int))
    assert row(many, REGION)["association"] == pytest.approx(expected, abs=1e-4)
    assert row(table, REGION)["association"] < expected - 0.005


@pytest.mark.parametrize(("classes", "rows"), [(2, 12), (6, 12), (3, 60)])
def test_what_determines_the_diagnosis_reaches_one(classes: int, rows: int) -> None:
    index = np.arange(rows) % classes
    table = pl.DataFrame(
        {"diagnosis": [f"D{i}" for i in index], "region": [f"R{i}" for i in index], "age": index}
    )
    assert row(table, REGION)["association"] == pytest.approx(1, abs=1e-12)
    assert row(table, AGE)["association"] == pytest.approx(1, abs=1e-12)
    half = table.with_columns(
        region=pl.when(pl.col("diagnosis") == "D0").then(pl.col("region")),
    )
    gap = row(half, REGION)
    assert gap["association"] == 0  # only one category is left, and one diagnosis
    if classes == 2:
        assert gap["missing_association"] == pytest.approx(1, abs=1e-12)


def test_association_stays_within_0_and_1_on_few_rows() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(2, 9))
        table = pl.DataFrame(
            {
                "diagnosis": rng.integers(0, 4, rows).astype(str),
                "region": rng.integers(0, 9, rows).astype(str),
                "age": rng.integers(0, 3, rows) * 0.1,
            }
        )
        result = associate(table, [AGE, REGION])
        assert result["association"].is_between(0, 1).all()
        assert result["missing_association"].to_list() == [0, 0]


def test_a_constant_feature_has_no_association() -> None:
    table = pl.DataFrame(
        {"diagnosis": ["A", "A", "B", "C"] * 5, "age": [0.1] * 20, "region": ["ARM"] * 20}
    )
    assert associate(table, [AGE, REGION])["association"].to_list() == [0, 0]


def test_a_single_diagnosis_has_no_association() -> None:
    table = random_table(0).with_columns(diagnosis=pl.lit("BCC"))
    result = associate(table, [AGE, REGION, ITCH])
    assert result["association"].to_list() == [0, 0, 0]
    assert result["missing_association"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("observed", [0, 1])
def test_fewer_than_two_observed_rows_have_no_answer_and_come_last(observed: int) -> None:
    table = random_table(1).with_columns(
        age=pl.when(pl.int_range(pl.len()) < observed).then(40.0),
        region=pl.when(pl.int_range(pl.len()) < observed).then(pl.lit("ARM")),
    )
    result = associate(table, [REGION, AGE, ITCH])
    assert result["feature"].to_list() == ["itch", "region", "age"]
    assert result["association"].to_list()[1:] == [None, None]
    assert result["observed"].to_list() == [200, observed, observed]
    assert result["missing"].to_list() == pytest.approx([0] + [1 - observed / 200] * 2)
    assert result["missing_association"].null_count() == 0


def test_a_class_with_one_row_takes_part() -> None:
    table = pl.DataFrame(
        {
            "diagnosis": ["A"] * 6 + ["B"] * 5 + ["C"],
            "age": [1.0, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 40],
            "region": ["X", "X", "Y", "X", "Y", "X", "Y", "Y", "Y", "X", "Y", "Z"],
        }
    )
    age, region = row(table, AGE), row(table, REGION)
    assert age["association"] == pytest.approx(
        naive_eta(table["age"].to_numpy(), table["diagnosis"].to_numpy())
    )
    assert region["association"] == pytest.approx(
        naive_v(table["region"].to_list(), table["diagnosis"].to_list())
    )


def test_a_large_offset_does_not_cost_digits() -> None:
    table = random_table(2)
    shifted = table.with_columns(pl.col("age") + 1e6)
    expected = row(table, AGE)["association"]
    assert row(shifted, AGE)["association"] == pytest.approx(expected, rel=1e-6)


def test_the_order_of_rows_does_not_matter() -> None:
    table = random_table(3)
    shuffled = associate(table.sample(fraction=1, shuffle=True, seed=0), [AGE, REGION, ITCH])
    expected = associate(table, [AGE, REGION, ITCH])
    assert shuffled["feature"].to_list() == expected["feature"].to_list()
    np.testing.assert_allclose(
        shuffled["association"].to_numpy(), expected["association"].to_numpy(), rtol=1e-12
    )


def test_no_features_give_an_empty_table() -> None:
    result = associate(random_table(0), [])
    assert result.height == 0
    assert result.schema == associate(random_table(0), [AGE]).schema
