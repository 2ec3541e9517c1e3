from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import polars as pl
import pytest

from vitatt.data.datasets.schema import Feature
from vitatt.data.metadata.encoding import describe_values, encode, fit_features
from vitatt.types import DataError, FeatureEncoding

AGE = Feature("age", "age", "numeric", "years")
ITCH = Feature("itch", "itches")
REGION = Feature("region", "body region")
SITES = FeatureEncoding("region", "body region", "categorical", categories=("A", "B", "C"))
YEARS = FeatureEncoding("age", "age", "numeric", "years", centres=(10.0, 20.0, 50.0, 55.0))


def naive_vector(value: object, feature: FeatureEncoding, smoothing: float) -> list[float]:
    """One feature of one case, by the definition."""
    count = len(feature.categories) + len(feature.centres)
    if value is None or (feature.kind == "categorical" and value not in feature.categories):
        return [1 / count] * count
    if feature.kind == "categorical":
        if count == 1:
            return [1.0]
        return [
            1 - smoothing if c == value else smoothing / (count - 1) for c in feature.categories
        ]
    clipped = min(max(float(value), feature.centres[0]), feature.centres[-1])  # type: ignore[arg-type]
    shares = []
    for bin_, centre in enumerate(feature.centres):
        share = 1.0 if clipped == centre else 0.0
        if bin_ > 0 and feature.centres[bin_ - 1] < clipped < centre:
            share = (clipped - feature.centres[bin_ - 1]) / (centre - feature.centres[bin_ - 1])
        if bin_ + 1 < count and centre < clipped < feature.centres[bin_ + 1]:
            share = (feature.centres[bin_ + 1] - clipped) / (feature.centres[bin_ + 1] - centre)
        shares.append(share)
    return shares


def random_table(seed: int, rows: int = 80) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    table = pl.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.1, 300, rng.normal(50, 25, rows).round(1)),
            "itch": rng.choice(["True", "False"], rows),
            "region": rng.choice(["ARM", "FACE", "NECK", "BACK", "EAR"], rows),
        }
    )
    absent = pl.Series(rng.random(rows) < 0.25)
    return table.with_columns(pl.when(absent).then(None).otherwise(pl.all()).name.keep())


@pytest.mark.parametrize(
    ("seed", "smoothing", "num_bins"), [(0, 0.0, 8), (1, 0.1, 2), (2, 0.75, 8)]
)
def test_equals_the_definition(seed: int, smoothing: float, num_bins: int) -> None:
    features = fit_features(random_table(seed), (AGE, ITCH, REGION), num_bins=num_bins)
    cases = random_table(seed + 100)
    encoded = encode(cases, features, smoothing=smoothing)
    expected = [
        [share for f in features for share in naive_vector(row[f.name], f, smoothing)]
        for row in cases.iter_rows(named=True)
    ]
    assert encoded.soft_one_hot.dtype == np.float32
    np.testing.assert_allclose(encoded.soft_one_hot, expected, atol=1e-6)
    blank = [[row[f.name] is None for f in features] for row in cases.iter_rows(named=True)]
    assert encoded.missing.tolist() == blank
    assert encoded.missing.any()
    ends = np.cumsum([f.cardinality for f in features])[:-1]
    for block in np.split(encoded.soft_one_hot, ends, axis=1):
        np.testing.assert_allclose(block.sum(1), 1, atol=1e-6)


def test_categories() -> None:
    expected = {
        "B": [0.05, 0.9, 0.05],
        "A": [0.9, 0.05, 0.05],
        None: [1 / 3, 1 / 3, 1 / 3],
    }
    encoded = encode(pl.DataFrame({"region": [*expected]}), (SITES,), smoothing=0.1)
    np.testing.assert_allclose(encoded.soft_one_hot, [*expected.values()], rtol=1e-6)
    assert encoded.missing[:, 0].tolist() == [False, False, True]


def test_numbers() -> None:
    expected = {
        10.0: [1, 0, 0, 0],
        20.0: [0, 1, 0, 0],
        12.5: [0.75, 0.25, 0, 0],
        42.5: [0, 0.25, 0.75, 0],
        55.0: [0, 0, 0, 1],
        -1e9: [1, 0, 0, 0],
        1e9: [0, 0, 0, 1],
        None: [0.25, 0.25, 0.25, 0.25],
    }
    frame = pl.DataFrame({"age": [*expected]}, schema={"age": pl.Float64})
    encoded = encode(frame, (YEARS,), smoothing=0.1)
    np.testing.assert_allclose(encoded.soft_one_hot, [*expected.values()], atol=1e-6)
    assert encoded.missing[:, 0].tolist() == [value is None for value in expected]


def test_fitting_sees_training_rows_only() -> None:
    training = pl.DataFrame({"region": ["B", "A", None, "B"], "age": [1.0, 2.0, 3.0, None]})
    region, age = fit_features(training, (REGION, AGE), num_bins=3)
    assert region == FeatureEncoding("region", "body region", "categorical", "", ("A", "B"))
    assert age == FeatureEncoding("age", "age", "numeric", "years", (), (1.0, 2.0, 3.0))
    other = pl.DataFrame({"region": ["C"], "age": [99.0]})
    with pytest.warns(UserWarning, match="C"):
        encoded = encode(other, (region, age), smoothing=0.1)
    np.testing.assert_allclose(encoded.soft_one_hot, [[0.5, 0.5, 0, 0, 1]])


@pytest.mark.parametrize("num_bins", [2, 5])
def test_centres_are_training_quantiles(num_bins: int) -> None:
    values = np.random.default_rng(0).gamma(2.0, 20.0, 1000)
    (fitted,) = fit_features(pl.DataFrame({"age": values}), (AGE,), num_bins=num_bins)
    # By the definition: the same number of training values between any two centres.
    between = np.histogram(values, fitted.centres)[0]
    assert len(fitted.centres) == num_bins
    assert (fitted.centres[0], fitted.centres[-1]) == (values.min(), values.max())
    assert between.max() - between.min() <= 2
    assert all(type(centre) is float for centre in fitted.centres)


@pytest.mark.parametrize(
    ("values", "centres"),
    [([5.0] * 9, (5.0,)), ([1.0] * 50 + [9.0] * 51, (1.0, 9.0)), ([7.0, None], (7.0,))],
)
def test_centres_that_coincide_count_once(
    values: list[float | None], centres: tuple[float, ...]
) -> None:
    (fitted,) = fit_features(pl.DataFrame({"age": values}), (AGE,), num_bins=8)
    assert fitted.centres == centres


def test_a_constant_number_is_one_bin() -> None:
    frame = pl.DataFrame({"age": [5.0, -100.0, 100.0, None]})
    fitted = fit_features(pl.DataFrame({"age": [5.0, 5.0]}), (AGE,), num_bins=8)
    encoded = encode(frame, fitted, smoothing=0.1)
    assert encoded.soft_one_hot.tolist() == [[1.0]] * 4
    assert encoded.missing.tolist() == [[False]] * 3 + [[True]]


def test_one_category() -> None:
    fitted = fit_features(pl.DataFrame({"itch": ["True", None]}), (ITCH,), num_bins=8)
    encoded = encode(pl.DataFrame({"itch": ["True", None]}), fitted, smoothing=0.1)
    assert fitted[0].categories == ("True",)
    assert encoded.soft_one_hot.tolist() == [[1.0], [1.0]]
    assert encoded.missing.tolist() == [[False], [True]]


def test_unseen_categories_are_missing_with_one_warning() -> None:
    frame = pl.DataFrame({"region": ["B", "LIP", "EAR", None, "EAR", "A"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoded = encode(frame, (SITES,), smoothing=0.1)
    (warning,) = caught
    assert "'region' has values that training did not see: EAR, LIP (3 cases)" in str(
        warning.message
    )
    assert encoded.missing[:, 0].tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(encoded.soft_one_hot[1:5], 1 / 3)


def test_known_values_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(pl.DataFrame({"region": ["B", None]}), (SITES,), smoothing=0.1)


@pytest.mark.parametrize("rows", [0, 3])
def test_no_features(rows: int) -> None:
    training = random_table(0).head(rows)
    assert fit_features(training, (), num_bins=8) == ()
    encoded = encode(training, (), smoothing=0.1)
    assert encoded.soft_one_hot.shape == encoded.missing.shape == (rows, 0)
    assert encoded.soft_one_hot.dtype == np.float32
    assert encoded.missing.dtype == np.bool_


@pytest.mark.parametrize(("feature", "kind"), [(AGE, pl.Float64), (ITCH, pl.String)])
def test_a_feature_that_is_always_missing(feature: Feature, kind: type[pl.DataType]) -> None:
    frame = pl.DataFrame({feature.name: [None, None, None]}, schema={feature.name: kind})
    with pytest.raises(DataError, match=rf"'{feature.name}' is missing in all 3 training rows"):
        fit_features(frame, (feature,), num_bins=8)


@pytest.mark.parametrize("smoothing", [-0.01, 1.0, float("nan")])
def test_smoothing_out_of_range(smoothing: float) -> None:
    with pytest.raises(
        DataError, match=rf"`data\.smoothing` to be in \[0, 1\), but got {smoothing}"
    ):
        encode(pl.DataFrame({"region": ["A"]}), (SITES,), smoothing=smoothing)


def test_too_few_bins() -> None:
    with pytest.raises(DataError, match=r"`data\.num_bins` .* at least 2, but got 1"):
        fit_features(random_table(0), (AGE,), num_bins=1)


@pytest.mark.parametrize(
    ("feature", "value", "text"),
    [
        (YEARS, 55.0, "55 years"),
        (YEARS, 6.5, "6.5 years"),
        (dataclasses.replace(YEARS, unit=""), 55.0, "55"),
        (YEARS, None, None),
        (SITES, "FACE", "face"),
        (SITES, None, None),
        (FeatureEncoding("itch", "itches", "categorical"), "True", "yes"),
        (FeatureEncoding("itch", "itches", "categorical"), "False", "no"),
    ],
)
def test_values_in_words(feature: FeatureEncoding, value: object, text: str | None) -> None:
    assert describe_values({feature.name: value, "other": 1}, (feature,)) == [text]
