"""A planted leak ends the benchmark, or is named where it does no harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.benchmark.conftest import run
from vitatt.data import fold as fold_module
from vitatt.types import DataError, UsageError

pytestmark = pytest.mark.long


@pytest.fixture
def root(bench_root, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(bench_root, tmp_path / "data"))


@pytest.fixture
def cheap() -> dict:
    """One arm that is trained in no time."""
    return {
        "arms": {"trees": {"title": "Boosted trees", "classical": "gradient_boosting"}},
        "reference": "trees",
        "keep": [],
    }


def test_a_copy_of_the_label_is_refused(root, words, cheap, tmp_path):
    table = pl.read_csv(root / "metadata.csv", infer_schema=False)
    table.with_columns(region=pl.col("diagnostic")).write_csv(root / "metadata.csv")
    with pytest.raises(DataError, match=r"'region' alone gives the diagnosis away"):
        run(words(tmp_path / "bench", root=root, **cheap))
    assert not list((tmp_path / "bench" / "out" / "jobs").rglob("test.parquet"))


@pytest.mark.slow
def test_one_image_under_two_patients_is_named_and_kept_together(
    root, words, cheap, tmp_path, capsys
):
    table = pl.read_csv(root / "metadata.csv", infer_schema=False)
    twins = table.unique("patient_id", maintain_order=True).filter(diagnostic="NEV").head(2)
    one, other = twins["img_id"]
    files = {path.name: path for path in root.rglob("*.png")}
    shutil.copyfile(files[one], files[other])
    assert run(words(tmp_path / "bench", root=root, **cheap)) == 0
    out = tmp_path / "bench" / "out"
    (check,) = (
        check
        for check in json.loads((out / "protocol.json").read_text())["checks"]
        if check["check"] == "images under two names"
    )
    assert not check["ok"]
    assert one in check["outcome"]
    assert other in check["outcome"]
    assert f"note: images under two names: {check['outcome']}" in capsys.readouterr().out
    predictions = pl.read_parquet(out / "predictions.parquet")
    of_twins = predictions.filter(pl.col("case_id").is_in([one, other]))
    assert of_twins["fold"].n_unique() == of_twins["group"].n_unique() == 1


@pytest.mark.slow
def test_a_patient_in_two_folds_is_refused(words, cheap, tmp_path):
    options = words(tmp_path, **cheap)
    assert run(options) == 0
    first, second = (
        tmp_path / "out" / "jobs" / "trees" / f"fold-{number}-seed-0" / "test.parquet"
        for number in range(2)
    )
    patient = pl.read_parquet(first)["group"][0]
    moved = pl.read_parquet(second)
    group = pl.Series("group", [patient, *moved["group"][1:]])
    moved.with_columns(group).write_parquet(second)
    with pytest.raises(UsageError, match=patient):
        run(options)


def test_an_encoding_fitted_on_all_rows_is_refused(bench_root, words, cheap, tmp_path, monkeypatch):
    everything = pl.read_csv(bench_root / "metadata.csv", infer_schema=False)
    ages = everything["age"].cast(pl.Float64, strict=False)
    real = fold_module.fit_features

    def fitted_on_all(training, features, *, num_bins):
        rows = everything.select(
            *(
                ages if feature.name == "age" else pl.Series(feature.name, [None] * len(ages))
                for feature in features
            )
        )
        found = real(training, features, num_bins=num_bins)
        age = [feature for feature in features if feature.name == "age"]
        return tuple(
            real(rows.select("age"), age, num_bins=num_bins)[0] if one.name == "age" else one
            for one in found
        )

    monkeypatch.setattr(fold_module, "fit_features", fitted_on_all)
    with pytest.raises(
        DataError, match=r"the encoding of 'age' was not fitted on the \d+ training"
    ):
        run(words(tmp_path / "bench", **cheap))
